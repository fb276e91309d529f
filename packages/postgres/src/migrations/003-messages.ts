/**
 * Messages that are sent from SQL, kept for replay, and the table whose policies decide private channels. Partitioned by
 * day; the default partition takes what no day is there for, so that a send never fails for lack of one. `clock_timestamp`
 * instead of `now` keeps the messages of one transaction in their order.
 */
export const messages: string = `
create schema if not exists realtime;
grant usage on schema realtime to anon, authenticated, service_role;
do $migration$
begin
  if to_regclass('realtime.messages') is null then
    create table realtime.messages (
      topic text not null,
      extension text not null,
      payload jsonb,
      event text,
      private boolean default false,
      updated_at timestamp not null default (clock_timestamp() at time zone 'utc'),
      inserted_at timestamp not null default (clock_timestamp() at time zone 'utc'),
      id uuid not null default gen_random_uuid(),
      binary_payload bytea,
      primary key (id, inserted_at),
      constraint one_payload check (payload is null or binary_payload is null)
    ) partition by range (inserted_at);
    alter table realtime.messages enable row level security;
    grant select, insert, update on realtime.messages to anon, authenticated, service_role;
    create index messages_replay on realtime.messages (topic, inserted_at desc) where extension = 'broadcast' and private;
    create table realtime.messages_default partition of realtime.messages default;
    alter table realtime.messages_default enable row level security;
  end if;
end $migration$;
`

/**
 * Makes the partitions of yesterday to three days ahead and drops those older than the retention, in hours . A day
 * whose messages already went to the default partition stays there. Does nothing on a table that is not ours.
 */
export const keepPartitions: string = `
do $keep$
declare
  day date;
  name text;
  retention interval := make_interval(hours => coalesce(nullif(current_setting('tidewire.retention_hours', true), '')::int, 72));
  today date := (now() at time zone 'utc')::date;
begin
  if to_regclass('realtime.messages_default') is null then return; end if;
  for day in select generate_series(today - 1, today + 3, interval '1 day')::date loop
    name := 'messages_' || to_char(day, 'YYYY_MM_DD');
    if to_regclass('realtime.' || name) is null
      and not exists (select from realtime.messages_default where inserted_at >= day and inserted_at < day + 1)
    then
      execute format('create table realtime.%I partition of realtime.messages for values from (%L) to (%L)', name, day, day + 1);
      execute format('alter table realtime.%I enable row level security', name);
    end if;
  end loop;
  for name in
    select relid::regclass::text from pg_partition_tree('realtime.messages')
    where relid::regclass::text ~ '^realtime\\.messages_\\d{4}_\\d{2}_\\d{2}$'
  loop
    if to_date(right(name, 10), 'YYYY_MM_DD') + 1 < (now() at time zone 'utc') - retention then
      execute 'drop table ' || name;
    end if;
  end loop;
  delete from realtime.messages_default where inserted_at < (now() at time zone 'utc') - retention;
end $keep$;
`
