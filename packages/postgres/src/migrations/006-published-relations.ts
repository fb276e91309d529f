/** What the publications were last seen to publish: a table that is taken out and put back has a gap that no catalog shows. */
export const publishedRelations: string = `
create table if not exists tidewire.published_relations (
  relation oid primary key,
  version text not null,
  gap_before pg_lsn
);
`
