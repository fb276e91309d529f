import { useInsertionEffect, useRef } from 'react'

/** A box with the value of the last render that was shown, filled before any effect or event can look into it. */
export function useLatest<Value>(value: Value): { readonly current: Value } {
  const latest = useRef(value)
  useInsertionEffect(() => {
    latest.current = value
  })
  return latest
}
