/** Numbers for a narrow column. */

export function count(value: number): string {
  if (value < 10_000) return String(Math.round(value))
  if (value < 999_500) return `${trim(value / 1_000)}k`
  return value < 999_500_000 ? `${trim(value / 1_000_000)}M` : `${trim(value / 1_000_000_000)}G`
}

export function bytes(value: number): string {
  if (value < 1_024) return `${Math.round(value)} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  const step = Math.min(units.length, Math.floor(Math.log2(value) / 10))
  return `${trim(value / 1_024 ** step)} ${units[step - 1]}`
}

/** A duration in milliseconds. */
export function milliseconds(value: number): string {
  if (value < 0.995) return `${value.toFixed(2)} ms`
  if (value < 9.95) return `${value.toFixed(1)} ms`
  if (value < 999.5) return `${Math.round(value)} ms`
  return `${trim(value / 1_000)} s`
}

/** How long ago, in words as short as `4 s`, `12 min`, `3 h`, `2 d`. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, (now - at) / 1_000)
  if (seconds < 60) return `${Math.floor(seconds)} s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)} h`
  return `${Math.floor(seconds / 86_400)} d`
}

/** `in 12 min`, `12 min ago`. */
export function fromNow(at: number, now: number): string {
  return at > now ? `in ${ago(now, at)}` : `${ago(at, now)} ago`
}

/** `Nov 27, 2026, 14:03:09`, in the reader's own time zone. */
export function dateTime(at: number): string {
  return new Date(at).toLocaleString('en', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' })
}

/** `14:03:09.120`, in the reader's own time zone. */
export function clock(at: number): string {
  const date = new Date(at)
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function trim(value: number): string {
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value))
}
