create table cards (
  id int generated always as identity primary key,
  owner text not null default auth.jwt() ->> 'sub',
  title text not null check (length(title) between 1 and 120),
  lane text not null default 'todo' check (lane in ('todo', 'doing', 'done')),
  is_shared boolean not null default false,
  version int not null default 1
);
alter table cards enable row level security;

-- A user sees and moves own cards and shared ones; only the owner shares.
create policy "see own and shared" on cards for select to authenticated using (owner = auth.jwt() ->> 'sub' or is_shared);
create policy "add own" on cards for insert to authenticated with check (owner = auth.jwt() ->> 'sub');
create policy "move own and shared" on cards for update to authenticated
  using (owner = auth.jwt() ->> 'sub' or is_shared) with check (owner = auth.jwt() ->> 'sub' or is_shared);
