export * from './available.ts'
export * from './server-runtime.ts'
export * from './node-in-process.ts'
