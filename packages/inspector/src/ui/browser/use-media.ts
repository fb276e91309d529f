import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'

/** Whether a media query holds, kept up to date. */
export function useMedia(query: string): boolean {
  const holds = useSignal(matchMedia(query).matches)
  useEffect(() => {
    const media = matchMedia(query)
    const changed = (): void => void (holds.value = media.matches)
    media.addEventListener('change', changed)
    return () => media.removeEventListener('change', changed)
  }, [query])
  return holds.value
}
