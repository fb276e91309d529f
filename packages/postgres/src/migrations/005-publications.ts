/** The publication whose tables are watched: the user adds tables to it. Left as it is where it exists. */
export const publications: string = `
do $migration$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    if current_setting('server_version_num')::int >= 180000 then
      execute 'create publication supabase_realtime with (publish_generated_columns = stored)';
    else
      create publication supabase_realtime;
    end if;
  end if;
  if not exists (select from pg_publication where pubname = 'tidewire_messages') then
    create publication tidewire_messages for table realtime.messages with (publish = 'insert', publish_via_partition_root = true);
  end if;
end $migration$;
`
