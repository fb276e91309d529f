import type { RowChange } from '../replication/transaction-assembler.ts'
import { imageOf, oldRowText, primaryKeyTexts, publishedColumns } from './change-row.ts'
import { CurrentRows } from './content.ts'
import { channelsOf, type CrowdGrant, type CrowdQuestion } from './crowd.ts'
import { StaleEntry, type DecisionContext } from './decision.ts'
import type { TableEntry } from '../catalog/table-entry.ts'

/** Has Postgres decide which rows the identities of crowds see. Rejects like {@link decide}. */
export async function decideCrowds(questions: readonly CrowdQuestion[], context: DecisionContext): Promise<void> {
  const groups = new Map<string, CrowdQuestion[]>()
  for (const question of questions) {
    const key = `${question.entry.oid} ${question.identity.role}`
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [question])
    else group.push(question)
  }
  await Promise.all([...groups.values()].map((group) => askCrowd(group, context)))
}

/** All of one table and one role. */
async function askCrowd(questions: readonly CrowdQuestion[], context: DecisionContext): Promise<void> {
  const { entry, identity } = questions[0]!
  const rows = new AskedRows(entry)
  const identities = questions.map((question) => ({ identity: question.identity, rows: rows.of(question.changes) }))
  if (rows.keys.length === 0) return
  const { keys, xids, changes } = rows
  const { database, waits } = context
  const columns = publishedColumns(changes[0]!.table)
  const images = changes.map((change) => imageOf(change, columns))
  const answer = await database.checkRows({ entry, role: identity.role, keys, columns, images, xids: [...xids], waits, identities })
  if (!answer.current) throw new StaleEntry(entry.oid)
  const current = new CurrentRows(columns)
  for (const [index, question] of questions.entries()) {
    const one = answer.identities[index]
    if (one === undefined) continue
    if (one.ok && one.visible.size > 0)
      question.granted = new Map(
        [...one.visible].map(([row, grant]) => [changes[row]!, { content: current.contentOf(changes[row]!, grant), wholeOld: false }]),
      )
    if (one.ok && one.fault === undefined) continue
    const message = one.ok ? one.fault! : one.message
    const channels = channelsOf(question.members)
    context.failed({ kind: 'policy', message, timedOut: !one.ok && one.timedOut, entry, identity: question.identity, channels })
  }
  await askOldRows(questions, context)
}

/** As for candidates: all of the old row of an UPDATE is sent where the policies are true for it (rule D6). */
async function askOldRows(questions: readonly CrowdQuestion[], context: DecisionContext): Promise<void> {
  const { entry, identity } = questions[0]!
  const { role } = identity
  if (!entry.replicaIdentityFull || entry.roles.get(role)?.scope !== 'row') return
  const names = entry.columns.map(({ name }) => name)
  const numbers = new Map<RowChange, number>()
  const texts: string[] = []
  const numberOf = (change: RowChange): number[] => {
    const known = numbers.get(change)
    if (known !== undefined) return [known]
    const text = change.action === 'UPDATE' ? oldRowText(change, names) : null
    if (text === null) return []
    numbers.set(change, texts.length)
    return [texts.push(text) - 1]
  }
  const identities = questions.map(({ identity: each, granted }) => ({
    identity: each,
    rows: [...granted].flatMap(([change, { content }]) => (content === 'image' ? numberOf(change) : [])),
  }))
  if (texts.length === 0) return
  const xids = [...new Set([...numbers.keys()].map(({ transaction }) => transaction.xid))]
  const answer = await context.database.checkOldRows({ entry, role, rows: texts, xids, waits: context.waits, identities })
  if (!answer.current) throw new StaleEntry(entry.oid)
  for (const [index, question] of questions.entries()) {
    const one = answer.identities[index]
    if (one?.ok !== true || one.visible.size === 0) continue
    question.granted = new Map(
      [...question.granted].map(([change, grant]): [RowChange, CrowdGrant] => {
        const row = numbers.get(change)
        return [change, row !== undefined && one.visible.get(row) === 'image' ? { ...grant, wholeOld: true } : grant]
      }),
    )
  }
}

/** Rows whose keys are known, by number. */
class AskedRows {
  readonly keys: (readonly string[])[] = []
  readonly changes: RowChange[] = []
  readonly xids = new Set<number>()
  readonly #entry: TableEntry
  readonly #numbers = new Map<RowChange, number | null>()
  readonly #known = new Map<readonly RowChange[], readonly number[]>()

  constructor(entry: TableEntry) {
    this.#entry = entry
  }

  of(changes: readonly RowChange[]): readonly number[] {
    let rows = this.#known.get(changes)
    if (rows === undefined) {
      rows = changes.map((change) => this.#numberOf(change)).filter((row) => row !== null)
      this.#known.set(changes, rows)
    }
    return rows
  }

  #numberOf(change: RowChange): number | null {
    let row = this.#numbers.get(change)
    if (row === undefined) {
      const key = primaryKeyTexts(change)
      row = key?.length === this.#entry.primaryKey.length ? this.keys.push(key) - 1 : null
      this.#numbers.set(change, row)
      if (row !== null) {
        this.changes.push(change)
        this.xids.add(change.transaction.xid)
      }
    }
    return row
  }
}
