import type { VNode } from 'preact'
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks'
import UPlot from 'uplot'
import { theme } from '../browser/theme.ts'
import { useMedia } from '../browser/use-media.ts'

export interface ChartProps {
  readonly label: string
  readonly height: number
  readonly data: UPlot.AlignedData
  /** Made again when the colours change. `color` resolves a custom property of the page. */
  readonly options: (color: (name: string) => string) => Omit<UPlot.Options, 'width' | 'height'>
}

/** A chart of uPlot that takes the page's colours and the width it is given. */
export function Chart({ label, height, data, options }: ChartProps): VNode {
  const root = useRef<HTMLDivElement>(null)
  const chart = useRef<UPlot | null>(null)
  const isDark = useMedia('(prefers-color-scheme: dark)')
  const colours = `${theme.value} ${isDark}`

  useLayoutEffect(() => {
    const place = root.current!
    const made = new UPlot({ ...options(colorIn(place)), width: Math.max(100, place.clientWidth), height }, data, place)
    chart.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(100, place.clientWidth), height }))
    observer.observe(place)
    return () => {
      observer.disconnect()
      made.destroy()
      chart.current = null
    }
  }, [colours])
  useEffect(() => chart.current?.setData(data), [data])

  return <div ref={root} class="chart" role="img" aria-label={label} />
}

/** The computed colour of a custom property, for a canvas: `light-dark()` is only resolved in a colour. */
function colorIn(place: HTMLElement): (name: string) => string {
  return (name) => {
    const probe = place.appendChild(document.createElement('i'))
    probe.style.color = `var(--${name})`
    const { color } = getComputedStyle(probe)
    probe.remove()
    return color
  }
}
