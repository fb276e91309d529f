/** WebSocket close codes that the protocol gives a meaning to (rules C1–C6 in PROTOCOL.md). */
export const CloseCode: {
  readonly normal: 1000
  readonly goingAway: 1001
  readonly abnormal: 1006
  readonly invalidUtf8: 1007
  readonly policyViolation: 1008
  readonly tooBig: 1009
  readonly serviceRestart: 1012
  readonly tryAgainLater: 1013
} = {
  /** Orderly end; the server also uses it for a socket that sent nothing for the idle time. */
  normal: 1000,
  /** The server gave the socket up: joins flooded in. */
  goingAway: 1001,
  /** Never sent; what a client sees when the connection broke. */
  abnormal: 1006,
  /** A text frame that is not UTF-8. */
  invalidUtf8: 1007,
  /** A frame that no well-behaved client sends (for example a fragmented control frame). */
  policyViolation: 1008,
  /** A frame over the limit. */
  tooBig: 1009,
  /** Drain or reload: reconnect, possibly elsewhere. */
  serviceRestart: 1012,
  /** The receiver did not keep up and its queue went over the bound. */
  tryAgainLater: 1013,
}
