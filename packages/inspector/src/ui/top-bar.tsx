import type { VNode } from 'preact'
import type { Inspector } from '../inspector.ts'
import type { LinkState } from '../link/link.ts'
import { bytes, count, milliseconds } from '../stores/format.ts'
import { nextTheme, theme } from './browser/theme.ts'

interface TopBarProps {
  readonly inspector: Inspector
  /** Forgets a key that was typed; `null` when it was given by the server. */
  readonly leave: (() => void) | null
  readonly showShortcuts: () => void
}

export function TopBar({ inspector, leave, showShortcuts }: TopBarProps): VNode {
  const tick = inspector.figures.last.value
  const fanOut = inspector.figures.recentFanOut.value
  const link = inspector.link.value
  const feed = tick?.feed ?? null
  const isLive = link.kind === 'open' && tick !== null
  return (
    <header class="top">
      <div class="identity">
        <h1 class="brand">Tidewire</h1>
        <span class="version mono">{inspector.welcome.value?.version ?? ''}</span>
        {inspector.welcome.value?.node && <span class="version mono">node {inspector.welcome.value.node}</span>}
        <Health link={link} healthy={tick?.healthy ?? null} />
      </div>
      <dl class={isLive ? 'figures' : 'figures stale'} aria-label="Figures">
        <Figure name="Connections" value={tick === null ? null : count(tick.connections)} />
        <Figure name="In" value={tick === null ? null : count(tick.receivedPerSecond)} unit="/s" />
        <Figure name="Out" value={tick === null ? null : count(tick.deliveredPerSecond)} unit="/s" />
        <Figure name="p50" value={fanOut === null ? null : milliseconds(fanOut.p50)} />
        <Figure name="p95" value={fanOut === null ? null : milliseconds(fanOut.p95)} />
        {inspector.welcome.value?.database !== false && (
          <Figure name="Feed lag" value={feed === null ? null : `${bytes(feed.lagBytes)} · ${milliseconds(feed.lagMs)}`} />
        )}
      </dl>
      <div class="controls">
        <button class="quiet-button" onClick={nextTheme} title="Colours: the system's, light, or dark">
          {theme.value === 'system' ? 'Auto' : theme.value === 'light' ? 'Light' : 'Dark'}
        </button>
        {leave !== null && (
          <button class="quiet-button" onClick={leave}>
            Forget key
          </button>
        )}
        <button class="quiet-button" onClick={showShortcuts} aria-label="Keyboard shortcuts" title="Keyboard shortcuts">
          ?
        </button>
      </div>
      <Trouble link={link} trouble={tick?.trouble ?? null} />
    </header>
  )
}

function Figure({ name, value, unit = '' }: { readonly name: string; readonly value: string | null; readonly unit?: string }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="mono">{value === null ? '–' : `${value}${unit}`}</dd>
    </div>
  )
}

function Health({ link, healthy }: { readonly link: LinkState; readonly healthy: boolean | null }): VNode {
  const [look, text] =
    link.kind === 'connecting'
      ? (['wait', 'Connecting'] as const)
      : link.kind !== 'open'
        ? (['wait', 'Reconnecting'] as const)
        : healthy === null
          ? (['wait', 'Connected'] as const)
          : healthy
            ? (['good', 'Healthy'] as const)
            : (['bad', 'Trouble'] as const)
  return (
    <span class={`health ${look}`} role="status">
      <i aria-hidden="true" />
      {text}
    </span>
  )
}

function Trouble({ link, trouble }: { readonly link: LinkState; readonly trouble: string | null }): VNode | null {
  if (link.kind === 'waiting')
    return (
      <p class="trouble" role="alert">
        No connection to the server: {link.reason.replace(/\.$/, '')}. It is tried again by itself; the figures below are the last ones.
      </p>
    )
  if (link.kind !== 'open' || trouble === null) return null
  return (
    <p class="trouble" role="alert">
      {trouble}
    </p>
  )
}
