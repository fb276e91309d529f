export * from './available.ts'
export * from './server-runtime.ts'
