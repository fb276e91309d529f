/** `1.0.0` speaks JSON objects; `2.0.0` speaks JSON arrays and binary frames. Both live side by side on one topic. */
export type Version = '1.0.0' | '2.0.0'

/** The default version of Tidewire's client. */
export const DEFAULT_VERSION: Version = '2.0.0'

/**
 * The version a `vsn` query parameter asks for (rule V1): missing means 1.0.0, `1.0.x` and `2.0.x` are taken, anything
 * else is `null` and refused with HTTP 403.
 */
export function parseVersion(vsn: string | null | undefined): Version | null {
  if (vsn === null || vsn === undefined) return '1.0.0'
  const match = /^([12])\.0\.(?:0|[1-9]\d*)$/.exec(vsn)
  if (match === null) return null
  return match[1] === '1' ? '1.0.0' : '2.0.0'
}
