import { defineCommand, type Command } from '../command.ts'
import { misused } from '../failure.ts'
import { describeEnvironment, readEnvironment, type StartConfiguration } from '../start/environment.ts'
import { readWorkers } from '../start/variable-fields.ts'
import { serve } from '../start/serve.ts'
import { startWorkers } from '../start/start-workers.ts'
import { workerSide } from '../workers/worker-side.ts'

export const start: Command = defineCommand({
  name: 'start',
  description: 'A server for production. It is configured by the environment, logs JSON lines to stdout, and drains on SIGTERM.',
  args: {
    workers: {
      type: 'string',
      description: 'Processes that serve the port together. Default: TIDEWIRE_WORKERS, else 1',
      valueHint: 'number|auto',
    },
  },
  epilogue: () => {
    const variables = describeEnvironment()
    const width = Math.max(...variables.map(([name]) => name.length))
    return ['ENVIRONMENT', '', ...variables.map(([name, meaning]) => `  ${name.padEnd(width)}  ${meaning}`)].join('\n')
  },
  run({ workers }) {
    const worker = workerSide(process.env)
    const configuration = configured(workers)
    if (worker !== null) return serve(configuration, worker)
    return configuration.workers === 1 ? serve(configuration, null) : startWorkers(configuration)
  },
})

/** Throws a Failure. */
function configured(workers: string | undefined): StartConfiguration {
  if (workers !== undefined && readWorkers(workers) === undefined) throw misused('--workers must be a whole number from 1 to 64, or auto.')
  const read = readEnvironment(workers === undefined ? process.env : { ...process.env, TIDEWIRE_WORKERS: workers })
  if (!read.ok) throw misused(['The environment has faults:', ...read.faults.map((fault) => `  ${fault}`)].join('\n'))
  return read.configuration
}
