#!/usr/bin/env node
// Committed, while dist/ is built: so that npm links the command before the first build. Parses on old versions of Node.
import { existsSync } from 'node:fs'

const main = new URL('../dist/main.js', import.meta.url)
const [major] = process.versions.node.split('.').map(Number)

if (major < 20) {
  console.error(`tidewire needs Node 20 or newer; this is Node ${process.versions.node}.`)
  process.exitCode = 1
} else if (existsSync(main)) await import(main.href)
else {
  console.error('tidewire is not built yet: run `npm run build` first.')
  process.exitCode = 1
}
