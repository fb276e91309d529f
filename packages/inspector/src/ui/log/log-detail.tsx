import { useSignal } from '@preact/signals'
import type { AdminLogRow } from '@tidewire/protocol'
import type { ComponentChildren, VNode } from 'preact'
import type { Inspector } from '../../inspector.ts'
import { bytes, clock } from '../../stores/format.ts'
import { snippet } from '../../stores/snippet.ts'
import { topicKey } from '../../stores/topic-list.ts'
import { whyUnheard } from '../../stores/unheard.ts'
import { visibleText } from '../../stores/visible-text.ts'
import { questionAbout } from '../../stores/why-form.ts'
import { CopyButton } from '../browser/copy-button.tsx'
import { COPIED_AS_CODE } from '../browser/copy.ts'
import { JsonView } from './json-view.tsx'

/** One row of the log in full. */
export function LogDetail({ inspector, endpoint }: { readonly inspector: Inspector; readonly endpoint: string }): VNode | null {
  const showsCode = useSignal(false)
  const row = inspector.entry.value?.row
  if (row === undefined) return null
  const code = (): string => snippet(row, endpoint)
  const close = (): void => {
    inspector.entry.value = null
    document.getElementById('log')?.focus()
  }
  return (
    <section class="detail" aria-label="The chosen row">
      <div class="bar">
        <div class="switch" role="group" aria-label="Show">
          <button aria-pressed={!showsCode.value} onClick={() => (showsCode.value = false)}>
            Content
          </button>
          <button aria-pressed={showsCode.value} onClick={() => (showsCode.value = true)}>
            Code
          </button>
        </div>
        <span class="fill" />
        {(row.topic !== undefined || row.kind === 'change') && (
          <button class="quiet-button" onClick={() => inspector.askWhy(questionAbout(row))}>
            Why?
          </button>
        )}
        <CopyButton inspector={inspector} label="Copy as code" text={code} said={COPIED_AS_CODE} />
        {row.payload !== undefined && (
          <CopyButton
            inspector={inspector}
            label="Copy payload"
            text={() => row.payload!}
            said={row.truncated === undefined ? 'The payload is copied.' : 'The payload is copied as far as it is shown.'}
          />
        )}
        <button class="quiet-button" aria-label="Close the row" onClick={close}>
          ×
        </button>
      </div>
      <div id="row-body" class="body" tabIndex={0} role="region" aria-label={showsCode.value ? 'As code' : 'Its content'}>
        {showsCode.value ? <pre class="mono">{code()}</pre> : <Content inspector={inspector} row={row} />}
      </div>
    </section>
  )
}

function Content({ inspector, row }: { readonly inspector: Inspector; readonly row: AdminLogRow }): VNode {
  const { connection, topic } = row
  const other = topic === undefined ? undefined : inspector.topics.get(topicKey({ topic, private: row.private !== true }))
  const unheard = whyUnheard(row, other?.members ?? 0)
  const lookAt = (): void => {
    inspector.connection.value = connection!
    inspector.showTab('connections')
  }
  return (
    <>
      {unheard !== null && <p class="sentence warn">{unheard}</p>}
      {row.detail !== undefined && <p class="sentence">{visibleText(row.detail)}</p>}
      <dl class="facts">
        <Fact name="When">{clock(row.at)}</Fact>
        <Fact name="What">
          {[row.kind, row.event]
            .filter((part) => part !== undefined)
            .map((part) => visibleText(part))
            .join(' ')}
        </Fact>
        {row.topic !== undefined && (
          <Fact name="Topic">
            {visibleText(row.topic)} {row.private === undefined ? '' : row.private ? '(private)' : '(public)'}
          </Fact>
        )}
        {connection !== undefined && (
          <Fact name="Connection">
            <button class="link" onClick={lookAt}>
              {visibleText(connection)}
            </button>
          </Fact>
        )}
        {row.receivers !== undefined && <Fact name="Receivers">{row.receivers.toLocaleString('en')}</Fact>}
        {row.bytes !== undefined && <Fact name="Size">{bytes(row.bytes)}</Fact>}
      </dl>
      {row.payload === undefined ? null : <JsonView key={row.id} text={row.payload} truncated={row.truncated} />}
    </>
  )
}

export function Fact({ name, children }: { readonly name: string; readonly children: ComponentChildren }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd class="mono">{children}</dd>
    </div>
  )
}
