import { fileURLToPath } from 'node:url'
import type { Plugin } from 'esbuild'

const packages = new URL('../../packages/', import.meta.url)

/** For esbuild's `alias`: bundles hold what is in the sources, whether or not it has been compiled. */
export const sources: Record<string, string> = { '@tidewire/protocol': fileURLToPath(new URL('protocol/src/index.ts', packages)) }

/** Leaves out the one file that asks for the package `ws`: every platform but Node has a WebSocket of its own. */
export const forTheWeb: Plugin = {
  name: 'for-the-web',
  setup(bundle) {
    bundle.onResolve({ filter: /\/node-websocket\.ts$/ }, () => ({
      path: fileURLToPath(new URL('client/src/io/web-websocket.ts', packages)),
    }))
  },
}
