import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { installedPostgres } from './packages/testkit/src/programs/postgres-versions.ts'

const packages = new URL('packages/', import.meta.url)
const sources = readdirSync(packages)
  .map((name) => [`@tidewire/${name}`, fileURLToPath(new URL(`${name}/src/index.ts`, packages))] as const)
  .filter(([, path]) => existsSync(path))

const folders = ['packages/*/src', 'packages/*/test', 'scripts', 'examples', 'bench']
const testsNamed = (suffix: string): string[] => folders.map((folder) => `${folder}/**/*${suffix}.{ts,tsx}`)
const notTests = ['**/node_modules/**', '**/dist/**']
/** Takes minutes, so only where a number of cases is named. */
const proofs = process.env['TIDEWIRE_CASES'] === undefined ? [] : ['packages/postgres/src/io/checks/feed-rls.long.test.ts']
/** What is about the Postgres that `tidewire dev` brings is no matter of the others. */
const onlyEmbedded = ['embedded-postgres', 'dev-database', 'documentation', 'listen', 'inspector'].map((name) => `**/${name}.pg.test.ts`)

/** The runner would take one less than there are cores. What takes long mostly waits for other processes: two workers leave half of two cores idle. */
const WORKERS = 3

/** What starts databases comes first, then what starts servers, so that no worker is idle while the last long file runs. */
class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => [/\.pg\.test/, /\.socket\.test/, /./].findIndex((kind) => kind.test(moduleId))
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other))
  }
}

export default defineConfig({
  // Tests run on the sources, so that a fault shows where it was made and no build is needed first.
  resolve: { alias: Object.fromEntries(sources) },
  test: {
    environment: 'node',
    hookTimeout: 60_000,
    sequence: { sequencer: SlowestFirst },
    coverage: { provider: 'v8', include: ['packages/*/src/**'], exclude: ['packages/testkit/**', '**/*.test.*', '**/*.test-d.*'] },
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: testsNamed('.test'),
          exclude: [...notTests, '**/*.browser.test.*', '**/*.long.test.*'],
          testTimeout: 20_000,
          maxWorkers: WORKERS,
        },
      },
      {
        // They drive a Chromium from Node; one at a time, so that they do not starve each other.
        extends: true,
        test: { name: 'browser', include: testsNamed('.browser.test'), exclude: notTests, testTimeout: 60_000, fileParallelism: false },
      },
      {
        // Proofs that take minutes: `npm run test:long`.
        extends: true,
        test: { name: 'long', include: testsNamed('.long.test'), exclude: notTests, testTimeout: 1_800_000, fileParallelism: false },
      },
      // What needs a Postgres, on older ones: `--project postgres-14` to `postgres-17`.
      ...installedPostgres().map(({ name, installation }) => ({
        extends: true as const,
        test: {
          name,
          include: [...testsNamed('.pg.test'), ...proofs],
          exclude: [...notTests, ...onlyEmbedded],
          env: { TIDEWIRE_TEST_POSTGRES: installation },
          testTimeout: 20_000,
          maxWorkers: WORKERS,
        },
      })),
    ],
  },
})
