create table members (room text, name text, primary key (room, name));
insert into members values ('harbour', 'ada'), ('harbour', 'ben');

-- Every signed-in user may enter the lobby; other rooms have members.
create function may_enter(room text) returns boolean language sql stable security definer set search_path = public as $$
  select room = 'lobby' or exists (select from members m where m.room = may_enter.room and m.name = auth.jwt() ->> 'sub')
$$;

create table chat_messages (
  id bigint generated always as identity primary key,
  room text not null,
  author text not null default auth.jwt() ->> 'sub',
  body text not null check (length(body) between 1 and 500),
  sent_at timestamptz not null default now()
);
alter table chat_messages enable row level security;
create policy "read a room" on chat_messages for select to authenticated using (may_enter(room));
create policy "write as oneself" on chat_messages for insert to authenticated
  with check (may_enter(room) and author = auth.jwt() ->> 'sub');

create table hearts (
  message bigint references chat_messages,
  author text default auth.jwt() ->> 'sub',
  primary key (message, author)
);
alter table hearts enable row level security;
create policy "see hearts" on hearts for select to authenticated using (true);
create policy "give a heart" on hearts for insert to authenticated with check (author = auth.jwt() ->> 'sub');

-- The private channel of a room: who may enter may hear, and be heard.
create policy "hear a room" on realtime.messages for select to authenticated using (may_enter(substr(realtime.topic(), 6)));
create policy "speak in a room" on realtime.messages for insert to authenticated with check (may_enter(substr(realtime.topic(), 6)));

-- A heart is sent to the room's private channel. It can be replayed to users who join later.
create function tell_heart() returns trigger language plpgsql security definer set search_path = public as $$ begin
  perform realtime.broadcast_changes(
    'room:' || (select room from chat_messages where id = new.message), 'heart', tg_op, tg_table_name, tg_table_schema, new, old
  );
  return null;
end $$;
create trigger tell_heart after insert on hearts for each row execute function tell_heart();
