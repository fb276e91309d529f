/**
 * Why changes may be missing after a rejoin, or in the middle of a stream (rules D12 and D16): `reason` of the server's
 * `system` messages and of what `onGap` gets. The list is closed, so a program may switch over it.
 */
export const GAP_REASONS = [
  // The position that a join asks to resume from cannot be used.
  'invalid-position',
  'other-epoch',
  'position-ahead',
  'position-too-old',
  'too-many-replays',
  // While the channel is live: the stream itself was interrupted, changes were withheld, or a table was away.
  'publication-changed',
  'slot-created',
  'slot-lost',
  'slot-replaced',
  'table-returned',
  'withheld',
  // Known to the client only.
  'changes-refused',
  'late-listener',
  'no-history',
  'unspecified',
] as const
/** One of `GAP_REASONS`. */
export type GapReason = (typeof GAP_REASONS)[number]
