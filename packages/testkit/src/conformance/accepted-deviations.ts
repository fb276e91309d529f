import type { ChangesFault } from '@tidewire/protocol'
import type { Change, Deviation } from '../player/deviations.ts'
import {
  sentBySql,
  because,
  answered,
  coded,
  missingTable,
  schemaWarning,
  unreadable,
  errorReply,
  refusal,
  notAllowed,
} from './deviation-lines.ts'

const NO_OBJECT = 'MalformedPayload: a broadcast payload must be an object'

/** The lines of `http_api` that call the broadcast API, in which CORS applies, and of them those that the reference answers before it counts. */
const API_CALLS = [
  14, 18, 19, 22, 23, 25, 28, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 56, 59, 61,
  62, 65, 66, 69, 71, 75, 76, 79, 80, 81,
]
const UNCOUNTED_CALLS = [45, 50, 52, 66, 81]

const BAD_VALUE_OF_N = "n is of type int4: change the filter's operator or value."
const FILTER_GRAMMAR = 'Write a filter as `column=operator.value`, several joined by commas: `id=eq.1`, `state=in.(open,done)`.'

/** The fault of the join in `v2_join_public`. */
export const PUB1_NOT_PUBLISHED: ChangesFault = {
  code: 'not-published',
  hint: 'The publication supabase_realtime has no table that fits pub1.*: alter publication supabase_realtime add table …;',
}

const LAST_ROW =
  '{"ref":null,"event":"postgres_changes","payload":{"data":{"table":"notes","type":"INSERT","record":{"n": 1, "id": 38, "ok": null, "body": "afterrestart11"},"columns":[{"name": "id", "type": "int4"}, {"name": "body", "type": "text"}, {"name": "n", "type": "int4"}, {"name": "ok", "type": "bool"}],"errors":null,"schema":"public","commit_timestamp":"2026-11-23T18:24:49.324Z"},"ids":[23809488]},"topic":"realtime:room:dbr"}'

/**
 * Where our server says something else than the reference, by rule of PROTOCOL.md ("Deliberate differences"). Whatever
 * is not listed here must be as recorded; what is listed must be as listed.
 */
export const acceptedDeviations: readonly Deviation[] = [
  ...because('X1', 'a refused join is answered at once and blocks no other channel', {
    // The refused join of line 6 is decided while the others, sent right after it, are answered.
    v1_failed_join_blocks_socket: [
      [10, { kind: 'anytime', line: 6 }],
      [12, { kind: 'moved', line: 17 }],
      [22, { kind: 'moved', line: 19 }],
    ],
    v2_failed_join_blocks_socket: [
      [10, { kind: 'anytime', line: 6 }],
      [12, { kind: 'moved', line: 15 }],
      [22, { kind: 'moved', line: 19 }],
    ],
  }),

  ...because('X1', 'a row change comes when it is committed, before what is done next', {
    v1_postgres_changes_basic: [
      [8, { kind: 'moved', line: 6 }],
      [17, { kind: 'moved', line: 15 }],
    ],
    v1_postgres_changes_filters: [
      [11, { kind: 'moved', line: 9 }],
      [19, { kind: 'moved', line: 17 }],
    ],
    v2_postgres_changes_basic: [[17, { kind: 'moved', line: 15 }]],
    // The recorder did not wait for the last one.
    y1_database_restart: [[48, { kind: 'also', client: 'A', frames: [LAST_ROW] }]],
  }),

  ...because('X1', 'presence state follows the reply at once, without waiting for the database', {
    v1_join_all_config_keys: [[7, { kind: 'moved', line: 4 }]],
    v2_join_all_config_keys: [[7, { kind: 'moved', line: 4 }]],
  }),

  ...because('X21', 'of one change, whole rows come after selections, and filtered channels after the others', {
    v1_postgres_changes_select: [
      [7, { kind: 'moved', line: 9 }],
      [11, { kind: 'moved', line: 13 }],
      [15, { kind: 'moved', line: 17 }],
    ],
    v1_legacy_topic_join: [
      [11, { kind: 'moved', line: 12 }],
      [21, { kind: 'moved', line: 23 }],
    ],
  }),

  ...because('X22', 'whatever JSON was sent from the database is delivered', {
    v1_broadcast_from_database: [
      [23, { kind: 'also', client: 'A', frames: [sentBySql('[1,2]', 1)] }],
      [25, { kind: 'also', client: 'A', frames: [sentBySql('"s"', 2)] }],
    ],
  }),

  ...because('X16', 'what was sent while the stream was being taken up again is not lost', {
    y1_database_restart: [
      [16, { kind: 'also', client: 'A', frames: [sentBySql(null, 1, 'afterrestart', 'room:dbr')] }],
      [18, { kind: 'also', client: 'A', frames: [sentBySql(null, 2, 'afterrestart', 'room:dbr')] }],
    ],
  }),

  ...because('X2', 'a frame that cannot be read is answered to its sender', {
    v1_malformed_frames: [
      // Each kind of fault is reported once: those of the lines that follow are not.
      unreadable(3, 'the frame is not JSON'),
      unreadable(5, 'the key "topic" is missing'),
      // Sent in line 32, while the heartbeat that line 33 answers was on its way.
      unreadable(33, 'the text frame is not UTF-8'),
    ],
    v2_binary_frames: [
      unreadable(57, 'the frame is shorter than its sizes say', '2.0.0'),
      unreadable(59, 'binary kind 9 is not one that clients send', '2.0.0'),
      unreadable(61, 'the binary frame is empty', '2.0.0'),
      unreadable(81, 'binary frames need vsn=2.0.0', '1.0.0', 'V1'),
    ],
  }),
  ...because('X2', 'a topic that is a number makes a frame that cannot be read', {
    v1_malformed_frames: [[15, { kind: 'absent' }]],
  }),
  ...because('X2', 'a payload that says it is JSON and is not is refused, and so is not delivered', {
    v2_binary_frames: [
      ...[32, 33, 34].map((line): [number, Change] => [line, { kind: 'absent' }]),
      [35, refusal('["1","13","realtime:bin","phx_reply",PAYLOAD]', 'MalformedPayload: the payload is marked as JSON and is not')],
    ],
  }),

  ...because('X3', 'an opaque broadcast has no form in text, and is not sent to version 1.0.0', {
    v2_binary_frames: [[69, { kind: 'absent' }]],
  }),

  ...because('X4', 'a push without permission is answered', {
    v1_private_allowed_denied: [
      [37, { kind: 'also', client: 'A', frames: [errorReply('5', 'realtime:ro:1', notAllowed('broadcast to', 'ro:1'))] }],
      [40, { kind: 'instead', frame: errorReply('6', 'realtime:ro:1', notAllowed('track presence on', 'ro:1')) }],
      [48, { kind: 'instead', frame: errorReply('9', 'realtime:bconly:1', notAllowed('track presence on', 'bconly:1')) }],
      [56, { kind: 'also', client: 'A', frames: [errorReply('11', 'realtime:presonly:1', notAllowed('broadcast to', 'presonly:1'))] }],
    ],
  }),

  ...because('X5', 'a payload that is too large is refused in words, with ack or without', {
    v1_too_large_payload: [
      [
        32,
        {
          kind: 'also',
          client: 'N',
          frames: [
            '{"ref":"2","event":"phx_reply","payload":{"status":"error","response":"payload_size_exceeded"},"topic":"realtime:big"}',
          ],
        },
      ],
    ],
  }),

  ...because('X6', 'browsers of any origin may call the API and read how much they may', {
    http_api: [
      ...API_CALLS.map((line) =>
        answered(line, {
          headers: {
            'access-control-allow-origin': '*',
            'access-control-expose-headers': 'x-rate-limit,x-rate-limit-remaining,x-rate-rolling',
          },
        }),
      ),
      answered(53, {
        status: 204,
        headers: {
          'content-type': null,
          'access-control-allow-headers': 'apikey,authorization,content-type,x-client-info',
          'access-control-allow-methods': 'GET,HEAD,POST,OPTIONS',
          'access-control-max-age': '86400',
        },
        body: '',
      }),
    ],
  }),

  ...because('X6', 'browsers of any origin may read that a path is not there, and why the path of the socket refuses', {
    http_api: [answered(84, { headers: { 'access-control-allow-origin': '*' } })],
    http_upgrade_errors: [89, 90].map((line) => answered(line, { headers: { 'access-control-allow-origin': '*' } })),
  }),

  ...because('X13', 'there is one project, whatever the Host', {
    http_api: [
      answered(50, { status: 202, headers: { 'content-type': null }, body: '' }),
      [
        50,
        {
          kind: 'also',
          client: 'A',
          frames: ['{"ref":null,"event":"broadcast","payload":{"event":"e","payload":{"a":1},"type":"broadcast"},"topic":"realtime:h1"}'],
        },
      ],
      [
        50,
        { kind: 'also', client: 'P', frames: ['[null,null,"realtime:h1","broadcast",{"event":"e","payload":{"a":1},"type":"broadcast"}]'] },
      ],
      answered(81, { status: 200, body: '{"message":"Success"}' }),
    ],
    http_upgrade_errors: [
      [43, { kind: 'opens' }],
      [48, { kind: 'opens' }],
    ],
  }),

  ...because('X17', 'a fault of a subscription has a code and a hint', {
    v1_postgres_changes_errors: [
      coded(6, 'invalid-filter', 'public.notes has no column nope that the role authenticated may read.'),
      coded(13, 'invalid-filter', BAD_VALUE_OF_N),
      ...[20, 27, 34, 41, 48].map((line) => coded(line, 'invalid-filter', FILTER_GRAMMAR)),
      coded(55, 'missing-table', missingTable('nosuch.notes')),
      coded(62, 'missing-table', missingTable('public.nosuch')),
      coded(
        69,
        'not-published',
        'The table public.not_published is not published: alter publication supabase_realtime add table public.not_published;',
      ),
      coded(76, 'invalid-select', 'public.notes has no column nope that the role authenticated may read.'),
      coded(83, 'invalid-select', 'Give `select` as an array of column names.'),
      coded(90, 'invalid-select', 'Name one schema and one table, or leave `select` out.'),
      ...[97, 125, 132].map((line) => coded(line, 'invalid-entry', 'Name a schema, a table, or both, as text.')),
      coded(111, 'missing-table', missingTable('public.nosuch')),
      ...[159, 166].map((line) => coded(line, 'invalid-filter', BAD_VALUE_OF_N)),
      coded(173, 'invalid-filter', "body is of type text: change the filter's operator or value."),
    ],
    v2_join_public: [coded(9, PUB1_NOT_PUBLISHED.code, PUB1_NOT_PUBLISHED.hint)],
  }),
  ...because('X17', 'a channel that gets no changes of a table, because its role may not use the schema, is warned', {
    v1_postgres_changes_errors: [
      [117, { kind: 'also', client: 'A', frames: [schemaWarning('pge-no_usage_schema')] }],
      [151, { kind: 'also', client: 'A', frames: [schemaWarning('pge-schema_star')] }],
    ],
    v1_legacy_topic_join: [[18, { kind: 'also', client: 'A', frames: [schemaWarning('*')] }]],
  }),

  ...because('X19', 'every answer of the API names the rate, and a 429 when to come back', {
    http_api: [
      ...UNCOUNTED_CALLS.map((line) =>
        answered(line, { headers: { 'x-rate-limit': '100', 'x-rate-limit-remaining': 'some', 'x-rate-rolling': 'some' } }),
      ),
      answered(51, { headers: { 'retry-after': '5' } }),
    ],
  }),
  ...because('X19', 'plain words are plain text, and a known path says which methods it takes', {
    http_api: [
      answered(45, { headers: { 'content-type': 'text/plain; charset=utf-8', 'x-request-id': 'some' } }),
      answered(52, { status: 405, headers: { 'content-type': 'text/plain; charset=utf-8', allow: 'POST' }, body: 'Method Not Allowed' }),
      answered(84, { headers: { 'content-type': 'text/plain; charset=utf-8' } }),
    ],
    http_upgrade_errors: [
      ...[71, 76, 86].map((line) =>
        answered(line, { headers: { 'content-type': 'application/json', 'x-request-id': null }, body: '{"error":"Not Found"}' }),
      ),
      ...[89, 90].map((line) =>
        answered(line, {
          headers: { 'content-type': 'text/plain; charset=utf-8', 'x-request-id': 'some' },
          body: 'This path takes WebSockets: the request must ask for an upgrade',
        }),
      ),
    ],
  }),
  ...because('X19', 'a Supabase URL leads here without a gateway', { http_upgrade_errors: [[81, { kind: 'opens' }]] }),

  ...because('X20', 'a join without a join_ref has none', {
    v2_rejoin_leave_duplicate: [
      [46, { kind: 'instead', frame: '[null,"13","realtime:nojr","phx_reply",{"status":"ok","response":{}}]' }],
      [49, { kind: 'instead', frame: '[null,"14","realtime:nojr","phx_reply",{"status":"ok","response":{}}]' }],
    ],
  }),

  ...because('X7', 'a payload that is no object is refused, and the channel lives on', {
    v1_broadcast: (
      [
        [45, '7'],
        [47, '8'],
        [49, '9'],
      ] as const
    ).map(([line, ref]): [number, Change] => [line, { kind: 'instead', frame: errorReply(ref, 'realtime:bc-1.0.0', NO_OBJECT) }]),
    v2_broadcast: (
      [
        [45, '7'],
        [47, '8'],
        [49, '9'],
      ] as const
    ).map(([line, ref]): [number, Change] => [line, refusal(`["1","${ref}","realtime:bc-2.0.0","phx_reply",PAYLOAD]`, NO_OBJECT)]),
  }),
]
