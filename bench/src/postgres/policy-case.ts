import type { PolicyName } from './messages.ts'
import { subscriberClaims } from './subscriber.ts'

export const ORGANIZATIONS = 100

export interface PolicyCase {
  readonly name: PolicyName
  readonly title: string
  readonly policy: string
  /** What the subscriber with this number asks for beside the table. */
  filter(number: number): { readonly filter?: string }
  /** How many may see a row. */
  receivers(subscribers: number): number
}

const MEMBER = 'exists (select from members m where m.org_id = notes.org_id and m.user_id = (select auth.uid()))'

export const policyCases: readonly PolicyCase[] = [
  {
    name: 'owner',
    title: 'owner policy, no filter',
    policy: 'auth.uid() = user_id',
    filter: () => ({}),
    receivers: () => 1,
  },
  {
    name: 'member-filtered',
    title: 'membership policy, eq filter',
    policy: MEMBER,
    filter: (number) => ({ filter: `org_id=eq.${organizationOf(number)}` }),
    receivers: (subscribers) => subscribers / ORGANIZATIONS,
  },
  {
    name: 'member',
    title: 'membership policy, no filter',
    policy: MEMBER,
    filter: () => ({}),
    receivers: (subscribers) => subscribers / ORGANIZATIONS,
  },
]

export function organizationOf(number: number): number {
  return number % ORGANIZATIONS
}

/** Users, each in one organization, and a table that is watched. */
export function setupOf({ policy }: PolicyCase, subscribers: number): string {
  return `
create table members (user_id uuid, org_id integer, primary key (user_id, org_id));
insert into members select ${USER_SQL}, n % ${ORGANIZATIONS} from generate_series(0, ${subscribers - 1}) n;
create table notes (id bigint primary key, user_id uuid not null, org_id integer not null, body text not null);
alter table notes enable row level security;
create policy readable on notes for select to authenticated using (${policy});
grant select on notes, members to authenticated;
alter publication supabase_realtime add table notes;
create unlogged table subscribers (number integer primary key, org_id integer not null, claims text not null);
analyze members;
${OBVIOUS_WAY}`
}

const USER_SQL = `('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid`

/** Rows `first` to `first + count - 1`, in transactions of up to a hundred. */
export function insertRows(first: number, count: number, subscribers: number): string {
  const end = first + count - 1
  return `do $$ begin
  for start in ${first}..${end} by 100 loop
    insert into notes
    select id, ('00000000-0000-4000-8000-' || lpad(to_hex(id % ${subscribers}), 12, '0'))::uuid, id % ${ORGANIZATIONS}, repeat('x', 120)
    from generate_series(start, least(start + 99, ${end})) id;
    commit;
  end loop; end $$`
}

/**
 * What one writes first: for a change, each subscriber in turn is put on, with all its claims, and asked for the row.
 * It runs inside of Postgres, so nothing goes over the wire. `by_filter` leaves out subscribers whose filter does not
 * match, without asking for the row.
 */
const OBVIOUS_WAY = `
create function obvious_way(row_id bigint, filtered boolean, by_filter boolean) returns integer language plpgsql as $$
declare
  subscriber record;
  is_visible boolean;
  receivers integer := 0;
  row_org integer := (select org_id from notes where id = row_id);
begin
  for subscriber in select * from subscribers loop
    continue when by_filter and subscriber.org_id <> row_org;
    perform set_config('role', 'authenticated', true), set_config('request.jwt.claims', subscriber.claims, true);
    if filtered then
      select exists (select from notes where id = row_id and org_id = subscriber.org_id) into is_visible;
    else
      select exists (select from notes where id = row_id) into is_visible;
    end if;
    if is_visible then receivers := receivers + 1; end if;
  end loop;
  perform set_config('role', 'none', true);
  return receivers;
end $$`

export function claimsTexts(subscribers: number): string[] {
  return Array.from({ length: subscribers }, (_, number) => JSON.stringify(subscriberClaims(number)))
}
