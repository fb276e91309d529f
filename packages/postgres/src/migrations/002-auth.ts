/** Functions by which policies learn the user. Those that exist are left as they are. */
export const auth: string = `
create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;
do $migration$
begin
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt() returns jsonb language sql stable as $body$
      select nullif(current_setting('request.jwt.claims', true), '')::jsonb
    $body$;
  end if;
  if to_regprocedure('auth.uid()') is null then
    create function auth.uid() returns uuid language sql stable as $body$
      select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid
    $body$;
  end if;
  if to_regprocedure('auth.role()') is null then
    create function auth.role() returns text language sql stable as $body$
      select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    $body$;
  end if;
end $migration$;
`
