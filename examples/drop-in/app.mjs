import { createClient } from '@supabase/supabase-js'
import { run } from './program.cjs'

await run(createClient)
