import type { LatencySummary } from './admin.ts'

/**
 * The value below which this share of a histogram lies, interpolated within its class. `longestMs` bounds the class above all
 * bounds, which otherwise counts as its lower bound.
 */
export function quantileOf(
  { boundsMs, counts }: Pick<LatencySummary, 'boundsMs' | 'counts'>,
  share: number,
  longestMs: number = boundsMs.at(-1) ?? 0,
): number {
  const rank = share * counts.reduce((sum, count) => sum + count, 0)
  let below = 0
  for (const [at, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const lower = boundsMs[at - 1] ?? 0
      const upper = Math.max(lower, Math.min(longestMs, boundsMs[at] ?? Infinity))
      return lower + ((rank - below) / count) * (upper - lower)
    }
    below += count
  }
  return boundsMs.at(-1) ?? 0
}
