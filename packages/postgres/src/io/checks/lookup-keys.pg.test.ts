import { afterAll, beforeAll, expect, test } from 'vitest'
import { asRole, startFeed, type TestFeed } from '../../../test/feed.ts'
import { TestPostgres } from '../../../test/postgres.ts'

