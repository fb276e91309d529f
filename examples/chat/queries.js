/** What the page may ask of the database, as the user. */
export const queries = {
  history: 'select * from (select * from chat_messages where room = $1 order by id desc limit 50) newest order by id',
  say: 'insert into chat_messages (room, body) values ($1, $2)',
  love: 'insert into hearts (message) values ($1) on conflict do nothing',
}
