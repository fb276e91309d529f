import { allObservers, openTelemetry, type StartOptions } from '@tidewire/server'

/** The same server with spans, where a provider of OpenTelemetry is registered. */
export async function traced(options: StartOptions): Promise<StartOptions> {
  const tracing = await openTelemetry()
  if (tracing === null) return options
  return { ...options, tracer: tracing.tracer, observer: allObservers([options.observer, tracing.observer]) }
}
