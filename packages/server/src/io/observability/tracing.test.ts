import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { NodeInProcess } from '@tidewire/testkit'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ChangeFeed } from '../../ports.ts'
import { openTelemetry } from './tracing.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT_ID = '00f067aa0ba902b7'
const TRACEPARENT = `00-${TRACE_ID}-${PARENT_ID}-01`

let exporter: InMemorySpanExporter

beforeEach(() => {
  exporter = new InMemorySpanExporter()
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
})
afterEach(() => trace.disable())

function briefly({ name, attributes, parentSpanContext }: ReadableSpan): unknown {
  return {
    name,
    receivers: attributes['tidewire.receivers'],
    topic: attributes['messaging.destination.name'],
    parent: parentSpanContext?.spanId,
  }
}

function hrTimeToMs([seconds, nanoseconds]: readonly [number, number]): number {
  return seconds * 1_000 + nanoseconds / 1_000_000
}

async function tracedNode(changeFeed: ChangeFeed | null = null) {
  const tracing = (await openTelemetry())!
  const node = new NodeInProcess({}, { tracer: tracing.tracer, changeFeed })
  const stop = node.server.watch(tracing.observer)
  const [sender, receiver] = [node.connect(), node.connect()]
  for (const socket of [sender, receiver])
    socket.send({ topic: 'realtime:room', event: 'phx_join', ref: '1', joinRef: '1', payload: { config: {} } })
  await node.settle()
  for (const socket of [sender, receiver]) socket.take()
  return { node, sender, receiver, stop }
}

test('without a provider there is nothing to trace with', async () => {
  trace.disable()
  expect(await openTelemetry()).toBeNull()
})

test('a broadcast is a span of its trace that ends when it is written, and its receivers get the trace', async () => {
  const { node, sender, receiver } = await tracedNode()
  const payload = { type: 'broadcast', event: 'e', payload: { secret: 'p' }, meta: { traceparent: TRACEPARENT } }
  // The first is written at once, those that come with it are gathered: their spans end when they are written.
  for (let i = 0; i < 3; i++) sender.send({ topic: 'realtime:room', event: 'broadcast', ref: null, joinRef: '1', payload })
  expect(exporter.getFinishedSpans()).toHaveLength(1)
  node.runtime.advance(1)
  await node.settle()
  expect(receiver.take().map((message) => message.payload)).toEqual([payload, payload, payload])
  const spans = exporter.getFinishedSpans()
  expect(spans.map(briefly)).toEqual(
    Array.from({ length: 3 }, () => ({ name: 'tidewire.broadcast', receivers: 1, topic: 'realtime:room', parent: PARENT_ID })),
  )
  expect(new Set(spans.map((span) => span.spanContext().traceId))).toEqual(new Set([TRACE_ID]))
  expect(JSON.stringify(spans.map(({ attributes }) => attributes))).not.toContain('secret')
})

test.each([['not-a-traceparent'], [5], [`${TRACEPARENT}-extra`], [TRACEPARENT.toUpperCase().replace('00-', 'zz-')]])(
  '%s is no trace: the span begins one',
  async (traceparent) => {
    const { node, sender } = await tracedNode()
    const payload = { type: 'broadcast', event: 'e', payload: {}, meta: { traceparent } }
    sender.send({ topic: 'realtime:room', event: 'broadcast', ref: null, joinRef: '1', payload })
    await node.settle()
    expect(exporter.getFinishedSpans().map(briefly)).toMatchObject([{ parent: undefined }])
  },
)

test('over HTTP the trace comes in the header, and receivers get it in meta', async () => {
  const { node, receiver } = await tracedNode()
  const identity = { role: 'anon', claims: {}, headers: { traceparent: TRACEPARENT } }
  const payload = { encoding: 'json', bytes: Buffer.from('{"n":1}') } as const
  await node.server.publish({ subTopic: 'room', private: false, event: 'e', payload, form: 'user', identity })
  expect(receiver.take().map((message) => message.payload)).toEqual([
    { type: 'broadcast', event: 'e', payload: { n: 1 }, meta: { traceparent: TRACEPARENT } },
  ])
  expect(exporter.getFinishedSpans().map(briefly)).toMatchObject([{ parent: PARENT_ID, receivers: 2 }])
})

test('a message from the database is a span of its trace that begins with its commit', async () => {
  const { node, receiver } = await tracedNode()
  const message = { subTopic: 'room', private: false, event: 'e', form: 'user', id: 'i' } as const
  const payload = { encoding: 'json', bytes: Buffer.from('{"n":1}') } as const
  const now = node.runtime.now()
  node.server.publishTrusted({ ...message, payload, traceparent: TRACEPARENT, committedAt: now - 20 })
  // The clock of the database is ahead.
  node.server.publishTrusted({ ...message, payload, committedAt: now + 5_000 })
  await node.settle()
  const [first, second, ...others] = exporter.getFinishedSpans()
  expect(others).toEqual([])
  expect([first, second].map((span) => briefly(span!))).toMatchObject([
    { receivers: 2, topic: 'realtime:room', parent: PARENT_ID },
    { receivers: 2, parent: undefined },
  ])
  expect([first, second].map((span) => hrTimeToMs(span!.startTime))).toEqual([now - 20, now])
  expect(receiver.take().map(({ payload: sent }) => (sent as { readonly meta?: unknown }).meta)).toEqual([
    { id: 'i', traceparent: TRACEPARENT },
    { id: 'i' },
  ])
})

test('a message without receivers is a span, too', async () => {
  const { node } = await tracedNode()
  const identity = { role: 'anon', claims: {}, headers: { traceparent: TRACEPARENT } }
  const payload = { encoding: 'json', bytes: Buffer.from('{}') } as const
  await node.server.publish({ subTopic: 'empty', private: false, event: 'e', payload, form: 'user', identity })
  expect(exporter.getFinishedSpans().map(briefly)).toEqual([
    { name: 'tidewire.broadcast', receivers: 0, topic: 'realtime:empty', parent: PARENT_ID },
  ])
})

test('a row change is a span from its commit to its frames, if it had a receiver', async () => {
  let decided: Parameters<NonNullable<ChangeFeed['observe']>>[0] = null
  const { node } = await tracedNode({
    open: () => ({ setIdentity: () => {}, close: () => {} }),
    observe: (notify) => void (decided = notify),
  })
  const change = { schema: 'public', table: 'todos', action: 'INSERT', committedAt: node.runtime.now() - 20, payload: null }
  decided!({ ...change, receivers: 0 })
  decided!({ ...change, receivers: 3 })
  const [span, ...others] = exporter.getFinishedSpans()
  expect(others).toEqual([])
  expect(span!.attributes).toEqual({
    'db.namespace': 'public',
    'db.collection.name': 'todos',
    'db.operation.name': 'INSERT',
    'tidewire.receivers': 3,
  })
  expect(span!.duration).toEqual([0, 20_000_000])
})
