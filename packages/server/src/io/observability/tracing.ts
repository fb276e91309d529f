import type * as api from '@opentelemetry/api'
import type { Observer, Tracer } from '../../ports.ts'

type Api = typeof api

/** The spans that a server reports to OpenTelemetry: one a broadcast, from its commit or arrival to its last write, and one a row change, from its commit. */
export interface Tracing {
  readonly tracer: Tracer
  readonly observer: Observer
}

const NAME = '@tidewire/server'
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/

/**
 * Looks for OpenTelemetry once. `null` when `@opentelemetry/api` is not installed, or no provider is registered
 * (`NODE_OPTIONS="--import ./tracing.mjs"`): then nothing is spent on spans. Never rejects.
 */
export async function openTelemetry(): Promise<Tracing | null> {
  let found: Api
  try {
    found = await import('@opentelemetry/api')
  } catch {
    return null
  }
  return hasProvider(found) ? tracingOf(found) : null
}

/** Without a provider the API returns a proxy to a no-op; only the proxy's delegate shows which it is. */
function hasProvider({ trace, ProxyTracerProvider }: Api): boolean {
  const provider = trace.getTracerProvider()
  return !(provider instanceof ProxyTracerProvider) || provider.getDelegate() !== new ProxyTracerProvider().getDelegate()
}

function tracingOf({ trace, ROOT_CONTEXT, SpanKind }: Api): Tracing {
  const spans = trace.getTracer(NAME)
  const contextOf = (traceparent: string | null): typeof ROOT_CONTEXT => {
    const parts = traceparent === null ? null : TRACEPARENT.exec(traceparent)
    if (parts === null) return ROOT_CONTEXT
    const [, traceId, spanId, flags] = parts as unknown as [string, string, string, string]
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true })
  }
  const ignore = (): void => {}
  return {
    tracer: {
      broadcast: (topic, traceparent, bytes, since) => {
        const attributes = {
          'messaging.system': 'tidewire',
          'messaging.destination.name': topic,
          'messaging.message.body.size': bytes,
        }
        const options = { kind: SpanKind.CONSUMER, attributes, ...(since === null ? {} : { startTime: since }) }
        const span = spans.startSpan('tidewire.broadcast', options, contextOf(traceparent))
        return (receivers) => {
          span.setAttribute('tidewire.receivers', receivers)
          span.end()
        }
      },
    },
    observer: {
      decision: ignore,
      connected: ignore,
      disconnected: ignore,
      joined: ignore,
      left: ignore,
      broadcast: ignore,
      received: ignore,
      changed: ({ schema, table, action, committedAt, receivers, ms }) => {
        if (receivers === 0) return
        const attributes = {
          'db.namespace': schema,
          'db.collection.name': table,
          'db.operation.name': action,
          'tidewire.receivers': receivers,
        }
        const span = spans.startSpan('tidewire.change', { kind: SpanKind.PRODUCER, startTime: committedAt, attributes }, ROOT_CONTEXT)
        span.end(committedAt + ms)
      },
    },
  }
}
