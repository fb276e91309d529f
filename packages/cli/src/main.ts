import { runCommandLine } from './command-line.ts'
import { endWithReader } from './output.ts'

endWithReader()
process.exitCode = await runCommandLine(process.argv.slice(2))
