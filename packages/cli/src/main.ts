import { runCommandLine } from './command-line.ts'
import { endWhenNobodyReads } from './output.ts'

endWhenNobodyReads()
process.exitCode = await runCommandLine(process.argv.slice(2))
