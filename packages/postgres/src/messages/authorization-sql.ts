import { forbiddenRoleSql, roleVersionSql } from '../catalog/role-rule.ts'
import { FLUSHED_POSITION } from './join-position.ts'

/** One question to the policies of `realtime.messages`, as the function below reads it. */
export interface PolicyQuestion {
  readonly topic: string
  readonly role: string
  /** JSON text, as `request.jwt.claims` holds it. */
  readonly claims: string
  readonly sub: string
  /** JSON text, as `request.headers` holds it. */
  readonly headers: string
  readonly command: Command
}

/** `read` asks the SELECT policies, `write` the INSERT policies. */
export type Command = 'read' | 'write'

/** The function's answer to one question. A flag is `null` where there was no answer. */
export interface PolicyAnswer {
  readonly answered: number
  readonly refused_role: 'missing' | 'forbidden' | null
  readonly broadcast: boolean | null
  readonly presence: boolean | null
  /** SQLSTATE and message of what was raised instead of an answer. */
  readonly state: string | null
  readonly fault: string | null
  /** The policy that raised it, where one alone does. */
  readonly policy: string | null
}

export const FUNCTION_NAME = 'pg_temp.tidewire_authorize'

/** Prepared, since planning it takes longer than several questions. */
export const VERSION_STATEMENT = 'tidewire_policies'

/** The settings that policies read, by the fields of the question that they hold. */
const SETTINGS = {
  topic: 'realtime.topic',
  claims: 'request.jwt.claims',
  sub: 'request.jwt.claim.sub',
  role: 'request.jwt.claim.role',
  headers: 'request.headers',
} as const

const FIELDS = Object.keys(SETTINGS) as (keyof typeof SETTINGS)[]

export function settingsOf(question: PolicyQuestion): Record<string, string> {
  return Object.fromEntries(FIELDS.map((field) => [SETTINGS[field], question[field]]))
}

/** The role comes last: it may not be allowed to set the rest. All of it ends with the block that it stands in. */
const BECOME = `
        perform ${FIELDS.map((field) => `pg_catalog.set_config('${SETTINGS[field]}', question ->> '${field}', true)`).join(', ')};
        perform pg_catalog.set_config('role', question ->> 'role', true);`

/** Ends a block whose writes must not stay. The flag distinguishes our own state from one that a policy raises. */
const UNDO = `done := true;
          raise exception using errcode = 'TWOK1';`

function tryInsert(extension: 'broadcast' | 'presence'): string {
  return `
          done := false;
          begin
            insert into realtime.messages (id, topic, extension, private) values (pg_catalog.gen_random_uuid(), question ->> 'topic', '${extension}', true);
            ${UNDO}
          exception
            when sqlstate 'TWOK1' then ${extension} := done;
            when insufficient_privilege then ${extension} := false;
          end;`
}

/**
 * `tidewire_authorize(questions, budget_ms)` answers question by question, each in a subtransaction that is rolled back: no
 * question sees the probe rows of another, and one that raises is answered with its error. After the budget no further question
 * is begun. One that is cancelled ends the batch: those after it are not answered.
 *
 * A SELECT policy decides about rows that exist, so the rows are inserted by the server's own role first. The function keeps its
 * plans for as long as its session lives; that is most of the speed.
 */
export const CREATE_FUNCTION: string = `
create or replace function ${FUNCTION_NAME}(questions pg_catalog.json, budget_ms pg_catalog.float8)
returns table (answered pg_catalog.int4, refused_role pg_catalog.text, broadcast pg_catalog.bool, presence pg_catalog.bool,
  state pg_catalog.text, fault pg_catalog.text, policy pg_catalog.text)
language plpgsql volatile as $function$
#variable_conflict use_variable
declare
  question pg_catalog.json;
  ends_at pg_catalog.timestamptz := pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => budget_ms / 1000);
  is_forbidden pg_catalog.bool;
  broadcast_id pg_catalog.uuid;
  presence_id pg_catalog.uuid;
  command pg_catalog."char";
  done pg_catalog.bool;
  candidate pg_catalog.text;
  expression pg_catalog.text;
  extension pg_catalog.text;
begin
  answered := -1;
  for question in select pg_catalog.json_array_elements(questions) loop
    exit when answered >= 0 and pg_catalog.clock_timestamp() > ends_at;
    answered := answered + 1;
    refused_role := null;
    broadcast := null;
    presence := null;
    state := null;
    fault := null;
    policy := null;
    begin
      select ${forbiddenRoleSql('r')} into is_forbidden
        from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) (question ->> 'role')::pg_catalog.name
          and (question ->> 'role') operator(pg_catalog.=) r.rolname::pg_catalog.text;
      refused_role := case when is_forbidden is null then 'missing' when is_forbidden then 'forbidden' end;
      if refused_role is null and (question ->> 'command') operator(pg_catalog.=) 'read' then
        command := 'r';
        done := false;
        begin
          broadcast_id := pg_catalog.gen_random_uuid();
          presence_id := pg_catalog.gen_random_uuid();
          insert into realtime.messages (id, topic, extension, private)
            values (broadcast_id, question ->> 'topic', 'broadcast', true), (presence_id, question ->> 'topic', 'presence', true);
          ${BECOME}
          select pg_catalog.count(*) filter (where m.id operator(pg_catalog.=) broadcast_id) > 0, pg_catalog.count(*) filter (where m.id operator(pg_catalog.=) presence_id) > 0
            into broadcast, presence from realtime.messages m where m.id in (broadcast_id, presence_id);
          ${UNDO}
        exception when sqlstate 'TWOK1' then
          if not done then raise; end if;
        end;
      end if;
      if refused_role is null and (question ->> 'command') operator(pg_catalog.=) 'write' then
        command := 'a';
        begin
          ${BECOME}
          ${tryInsert('broadcast')}
          ${tryInsert('presence')}
          ${UNDO}
        exception when sqlstate 'TWOK1' then
          if not done then raise; end if;
        end;
      end if;
    exception
      when query_canceled then
        state := '57014';
        fault := sqlerrm;
        return next;
        return;
      when others then
        state := sqlstate;
        fault := sqlerrm;
        for candidate, expression, extension in
          select p.polname::pg_catalog.text, coalesce(pg_catalog.pg_get_expr(case when command = 'r' then p.polqual else coalesce(p.polwithcheck, p.polqual) end, p.polrelid), 'true'), e.name
          from pg_catalog.pg_policy p cross join (values ('broadcast'), ('presence')) e (name)
          where p.polrelid = 'realtime.messages'::pg_catalog.regclass and p.polcmd in (command, '*')
            and exists (select from pg_catalog.unnest(p.polroles) r (oid) where r.oid = 0 or pg_catalog.pg_has_role((question ->> 'role')::pg_catalog.name, r.oid, 'MEMBER'))
          order by p.polname, e.name
        loop
          begin
            ${BECOME}
            execute pg_catalog.format('select (%s) from pg_catalog.json_populate_record(null::realtime.messages, $1) messages', expression)
              using pg_catalog.json_build_object('id', pg_catalog.gen_random_uuid(), 'topic', question ->> 'topic', 'extension', extension, 'private', true);
            ${UNDO}
          exception
            when query_canceled then return next; return;
            when others then
              if sqlerrm operator(pg_catalog.=) fault then policy := candidate; exit; end if;
          end;
        end loop;
    end;
    return next;
  end loop;
end
$function$`

/**
 * One round trip: the transaction, its time limit, the position in the log, the versions of the roles, the questions, then the
 * version of the policies, if that is asked for, and the end of it all.
 */
export function batchSql(questions: readonly PolicyQuestion[], { budgetMs, timeoutMs }: BatchTimes, comparesVersion: boolean): string {
  const roles = ROLE_VERSIONS.replace('$roles', () => literalOf(JSON.stringify(rolesOf(questions))))
  const literal = literalOf(JSON.stringify(questions, [...FIELDS, 'command']))
  const version = comparesVersion ? `; execute ${VERSION_STATEMENT}` : ''
  return `begin; set local statement_timeout = ${timeoutMs}; select ${FLUSHED_POSITION} as position; ${roles}; select * from ${FUNCTION_NAME}(${literal}, ${budgetMs})${version}; rollback`
}

export function rolesOf(questions: readonly PolicyQuestion[]): string[] {
  return [...new Set(questions.map(({ role }) => role))]
}

const ROLE_VERSIONS = `select ${roleVersionSql('asked.role')} as version
  from pg_catalog.json_array_elements_text($roles) with ordinality asked (role, n) order by asked.n`

function literalOf(text: string): string {
  return ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

export interface BatchTimes {
  /** No question is begun after this. */
  readonly budgetMs: number
  /** The statement is cancelled after this, and with it the question that it is at. */
  readonly timeoutMs: number
  /** An answer that comes so much later is not waited for: the connection may be dead, the database frozen, or a policy swallow the cancellation. */
  readonly graceMs: number
}

/** Half of a character is replaced, as on the way of any parameter to Postgres. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd')
}
