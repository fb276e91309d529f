import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { failed, reasonOf } from '../failure.ts'

const NAME = '.tidewire'

/**
 * `.tidewire` in the project: its private files. The folder is the owner's alone (mode 700, files
 * 600) and is not for version control. On Windows, where modes mean nothing, it inherits the access rights of the project.
 */
export class PrivateFolder {
  readonly path: string
  #mode = 0o700

  constructor(project: string) {
    this.path = join(project, NAME)
  }

  /** The path of a file for messages: relative to the project. */
  shown(file: string): string {
    return join(NAME, file)
  }

  /** `null` when there is no such file. Throws a Failure. */
  read(file: string): string | null {
    try {
      return readFileSync(join(this.path, file), 'utf8')
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(reasonOf(error))) return null
      throw failed(`Cannot read ${join(this.path, file)} (${reasonOf(error)}): give it back to your user, or remove it.`, error)
    }
  }

  /** Whether only this user could have written the file. True where the system has no owners. */
  isOurs(file: string): boolean {
    const uid = process.getuid?.()
    return uid === undefined || statSync(join(this.path, file)).uid === uid
  }

  /** Replaces the file; readers see the old text or the new one, never a part. Throws a Failure. */
  write(file: string, text: string): void {
    this.#put(file, text, (draft, path) => renameSync(draft, path))
  }

  /** Writes the file unless there is one. Of two processes that try at once, one writes; both find the same file. Throws a Failure. */
  create(file: string, text: string): void {
    this.#put(file, text, (draft, path) => {
      try {
        linkSync(draft, path)
      } catch (error) {
        if (reasonOf(error) === 'EEXIST') return
        // Some file systems have no links.
        if (!existsSync(path)) renameSync(draft, path)
      }
    })
  }

  /** Never throws. */
  remove(file: string): void {
    try {
      rmSync(join(this.path, file), { force: true })
    } catch {
      // The whole project may be gone.
    }
  }

  #put(file: string, text: string, place: (draft: string, path: string) => void): void {
    const draft = join(this.path, `${file}.${randomBytes(6).toString('hex')}`)
    try {
      this.#make()
      writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
      place(draft, join(this.path, file))
    } catch (error) {
      throw failed(`Cannot write to ${this.path} (${reasonOf(error)}): run tidewire in a folder that you may write to.`, error)
    } finally {
      this.remove(basename(draft))
    }
  }

  /**
   * Lets a program of another account pass through to what it owns in here, when root runs us: Postgres never runs as
   * root. Nothing can be listed, and the files keep their modes.
   */
  letThrough(): void {
    if (process.getuid?.() !== 0) return
    this.#mode = 0o711
    this.#make()
  }

  #make(): void {
    mkdirSync(this.path, { mode: this.#mode, recursive: true })
    if (process.platform !== 'win32' && (statSync(this.path).mode & 0o777) !== this.#mode) chmodSync(this.path, this.#mode)
    if (!existsSync(join(this.path, '.gitignore'))) writeFileSync(join(this.path, '.gitignore'), '*\n', { mode: 0o600 })
  }
}
