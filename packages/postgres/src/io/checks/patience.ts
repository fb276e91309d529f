/** How long identities may take whose policies are slow. */
export interface Patience {
  /** For one identity. */
  readonly timeoutMs: number
  /** It is found out which identity takes too long; else all that were asked about together count as timed out. */
  readonly isolates: boolean
}
