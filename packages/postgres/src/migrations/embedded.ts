/**
 * What makes the first `insert` be seen in the database that `tidewire dev` runs itself: the API roles may use what is
 * made in `public` (as on Supabase, where row level security is what protects rows), and a new table with a primary key
 * joins the publication, which publishes partitions as the table that they belong to. Never run on a database that is not embedded.
 */
export const embeddedConveniences: string = `
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
create or replace function tidewire.publish_new_table() returns event_trigger language plpgsql as $body$
declare
  made record;
begin
  for made in
    select distinct c.oid, format('%I.%I', n.nspname, c.relname) as name
    from pg_event_trigger_ddl_commands() d
    join pg_class c on c.oid = d.objid and d.classid = 'pg_class'::regclass
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
      and exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
      and not exists (
        select from pg_publication_rel r join pg_publication p on p.oid = r.prpubid where r.prrelid = c.oid and p.pubname = 'supabase_realtime'
      )
  loop
    execute 'alter publication supabase_realtime add table ' || made.name;
    raise notice 'tidewire: changes of % are sent to clients now (publication supabase_realtime)', made.name;
  end loop;
  for made in
    select distinct format('%I.%I', n.nspname, c.relname) as name
    from pg_event_trigger_ddl_commands() d
    join pg_class c on c.oid = d.objid and d.classid = 'pg_class'::regclass
    join pg_namespace n on n.oid = c.relnamespace
    where d.command_tag like 'CREATE TABLE%' and n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
  loop
    raise notice 'tidewire: changes of % are not sent to clients, since it has no primary key: alter table % add primary key (…)', made.name, made.name;
  end loop;
end $body$;
do $migration$
begin
  if not exists (select from pg_event_trigger where evtname = 'tidewire_publish_new_table') then
    create event trigger tidewire_publish_new_table on ddl_command_end
      when tag in ('CREATE TABLE', 'CREATE TABLE AS', 'ALTER TABLE') execute function tidewire.publish_new_table();
  end if;
  -- A change of a partition is one of the table that clients know, under its policies.
  if exists (select from pg_publication where pubname = 'supabase_realtime' and not pubviaroot) then
    alter publication supabase_realtime set (publish_via_partition_root = true);
  end if;
end $migration$;
`
