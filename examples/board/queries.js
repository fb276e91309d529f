/** What the page may ask of the database, as the user: the policies decide which rows it is about. */
export const queries = {
  cards: 'select * from cards order by id',
  add: 'insert into cards (title) values ($1)',
  move: 'update cards set lane = $2, version = version + 1 where id = $1',
  share: "update cards set is_shared = true, version = version + 1 where id = $1 and owner = auth.jwt() ->> 'sub'",
}
