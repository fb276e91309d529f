const { createClient } = require('@supabase/supabase-js')
const { run } = require('./program.cjs')

run(createClient).catch((error) => {
  console.error(error)
  process.exitCode = 1
})
