export const A = '11111111-1111-1111-1111-111111111111'

/** A claim, as no analysis of an expression knows it. */
export const HIDDEN = `current_setting('request.jwt.claims', true)::jsonb ->> 'team'`

export const sql = (name: string, body: string, more = 'stable'): string =>
  `create function ${name} returns text language sql ${more} as $$ ${body} $$`

/**
 * Policies that read something of a token that is easily overlooked: what decides, what it takes in the schema `evil`, and settings of
 * the session. They allow the topic `red` to the user `A` of the team `red`.
 */
export const HIDING: Readonly<Record<string, readonly [using: string, setup?: string, settings?: string]>> = {
  'a setting in capitals': [`current_setting('REQUEST.JWT.CLAIMS', true)::jsonb ->> 'team' = 'red'`],
  'a setting in capitals, in a function': [
    `evil.f() = 'red'`,
    sql('evil.f()', `select current_setting('REQUEST.JWT.CLAIMS', true)::jsonb ->> 'team'`),
  ],
  'one claim in capitals': [`evil.f() = '${A}'`, sql('evil.f()', `select current_setting('request.jwt.claim.SUB', true)`)],
  'one claim in mixed case': [`evil.f() = '${A}'`, sql('evil.f()', `select Current_Setting('Request.jwt.claim.sub', TRUE)`)],
  'a function in mixed case': [
    `evil.f() = 'red'`,
    sql('evil.f()', `SELECT Current_Setting('request.jwt.claims', True)::JSONB\n->>\t'team'`),
  ],
  'a claim with white space': [
    `evil.f() = 'red'`,
    sql('evil.f()', `select current_setting('request.jwt.claims', true)::jsonb ->> 'te am'`),
  ],
  'a quoted name': [`evil.f() = 'red'`, sql('evil.f()', `select "current_setting"('request.jwt.claims', true)::jsonb ->> 'team'`)],
  'a name put together': [
    `evil.f() = 'red'`,
    sql('evil.f()', `select current_setting('request.jwt.' || 'claims', true)::jsonb ->> 'team'`),
  ],
  'a name in two lines': [`evil.f() = 'red'`, sql('evil.f()', `select current_setting('request.jwt.'\n'claims', true)::jsonb ->> 'team'`)],
  'an escaped name': [`evil.f() = 'red'`, sql('evil.f()', `select current_setting(E'request.jwt.claim\\x73', true)::jsonb ->> 'team'`)],
  'a name that looks like two keywords': [
    `evil.f() = 'red'`,
    `${sql('public.coalescenullif(text)', `select ${HIDDEN}`)}; ${sql('evil.f()', `select coalescenullif('')`)}`,
  ],
  'a name with white space that Postgres does not know': [
    `evil.f() = 'red'`,
    `${sql('public.coalesce\u00a0(text)', `select ${HIDDEN}`)}; ${sql('evil.f()', `select coalesce\u00a0('')`)}`,
  ],
  'an operator in a function': [
    `evil.f() = 'red'`,
    `${sql('evil.g(text)', `select ${HIDDEN}`)}; create operator public.@ (rightarg = text, function = evil.g); ${sql('evil.f()', `select @ ''::text`)}`,
  ],
  'an operator for the key': [
    `evil.f() = 'red'`,
    `${sql('evil.g(jsonb, jsonb)', `select jsonb_extract_path_text(current_setting('request.jwt.claims', true)::jsonb, 'team')`)}; create operator public.->> (leftarg = jsonb, rightarg = jsonb, function = evil.g);
     ${sql('evil.f()', `select current_setting('request.jwt.claims', true)::jsonb ->> 'null'`)}`,
  ],
  'an operator': [
    `realtime.topic() ### 'x' = 'red'`,
    `${sql('evil.g(text, text)', `select ${HIDDEN}`)}; create operator public.### (leftarg = text, rightarg = text, function = evil.g)`,
  ],
  'a function of the search path': [
    `evil.f() = 'red'`,
    `${sql('evil.current_setting(text, bool)', `select pg_catalog.current_setting('request.jwt.claims', $2)::jsonb ->> 'team'`)};
     ${sql('evil.f()', `select current_setting('realtime.topic', true)`)}`,
    '?options=-csearch_path%3Devil,pg_catalog,public',
  ],
  'a function that runs as its owner': [`evil.f() = 'red'`, sql('evil.f()', `select auth.jwt() ->> 'team'`, 'stable security definer')],
  'a function with a parsed body': [`evil.f() = 'red'`, `create function evil.f() returns text stable return ${HIDDEN}`],
  'a default argument': [
    `evil.f() = 'red'`,
    `create function evil.f(team text default ${HIDDEN}) returns text language sql stable as 'select team'`,
  ],
  'a view': [`exists (select from rooms_of_team)`],
  'the policy of a table': [`exists (select from rooms)`, `create policy tenants on rooms using (room = auth.jwt() ->> 'team')`],
  'the policy of a table, in a function': [`exists (select from rooms)`, `create policy tenants on rooms using (room = hidden_team())`],
  'the check of a domain': [`'x'::evil.checked is not null`, `create domain evil.checked as text check (hidden_team() = 'red')`],
  'the check of what a function returns': [
    `evil.f() = realtime.topic()`,
    `create domain evil.checked as text check (hidden_team() = 'red');
     create function evil.f() returns evil.checked language sql stable as $$ select current_setting('realtime.topic', true) $$`,
  ],
  'a cast': [
    `evil.f() = '${A}'`,
    `create function evil.g(text) returns uuid language sql stable as $$ select case ${HIDDEN} when 'red' then '${A}'::uuid end $$;
     create cast (text as uuid) with function evil.g(text);
     create function evil.f() returns uuid language sql stable as $$ select nullif(current_setting('realtime.topic', true), '')::uuid $$`,
  ],
  'a policy for one role': [
    `true`,
    `create policy more on realtime.messages as restrictive for select to authenticated using (hidden_team() = 'red')`,
  ],
  'a restrictive policy': [`true`, `create policy more on realtime.messages as restrictive for select using (team_of_token() = 'red')`],
  'a policy for all commands': [`true`, `create policy more on realtime.messages as restrictive using (team_of_token() = 'red')`],
}
