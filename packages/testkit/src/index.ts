export * from './available.ts'
