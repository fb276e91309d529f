import { Counter, Gauge, type Registry } from 'prom-client'

type AddFigure = (name: string, help: string, read: () => number) => void

/** Adds figures to a registry that are read when the metrics are asked for. */
export function readFigures(registry: Registry): { readonly gauge: AddFigure; readonly counter: AddFigure } {
  const registers = [registry]
  return {
    gauge: (name, help, read) =>
      void new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read())
        },
      }),
    counter: (name, help, read) =>
      void new Counter({
        name,
        help,
        registers,
        collect() {
          this.reset()
          this.inc(read())
        },
      }),
  }
}
