/** The roles that tokens name, as Supabase has them. Where they exist they are left as they are. */
export const roles: string = `
do $$
declare
  wanted text;
begin
  foreach wanted in array array['anon', 'authenticated', 'service_role'] loop
    if to_regrole(wanted) is not null then continue; end if;
    -- Roles are those of all databases of a server, of which others may be migrated at the same time.
    begin
      execute format('create role %I nologin noinherit %s', wanted, case wanted when 'service_role' then 'bypassrls' end);
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
end $$;
`
