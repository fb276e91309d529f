#!/usr/bin/env node
// Committed, while dist/ is built: so that npm links the command before the first build.
import { existsSync } from 'node:fs'

const main = new URL('../dist/main.js', import.meta.url)

if (existsSync(main)) await import(main.href)
else {
  console.error('tidewire is not built yet: run `npm run build` first.')
  process.exitCode = 1
}
