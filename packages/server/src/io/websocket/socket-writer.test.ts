import { Duplex } from 'node:stream'
import { expect, test } from 'vitest'
import { SocketWriter } from './socket-writer.ts'

/** Keeps what is written, write by write. */
class Written extends Duplex {
  readonly writes: string[] = []
  /** A system that does not take more for now. */
  full: (() => void) | null = null
  isSlow = false

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done)
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  override _read(): void {}

  #take(chunks: readonly Buffer[], done: () => void): void {
    const text = Buffer.concat(chunks).toString()
    this.writes.push(text.length > 100 ? `${text.length} bytes` : text)
    if (this.isSlow) this.full = done
    else done()
  }
}

function open(): { readonly socket: Written; write(text: string): void } {
  const socket = new Written({ writableHighWaterMark: 1 })
  const writer = new SocketWriter(socket)
  return { socket, write: (text) => writer.write(Buffer.from(text)) }
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('the first frame of a turn goes out at once, and those that follow it together', async () => {
  const { socket, write } = open()
  write('1')
  expect(socket.writes).toEqual(['1'])
  write('2')
  await Promise.resolve()
  write('3')
  write('4')
  expect(socket.writes).toEqual(['1'])
  await nextTurn()
  expect(socket.writes).toEqual(['1', '234'])
  write('5')
  expect(socket.writes).toEqual(['1', '234', '5'])
})

test('frames of other turns are not waited for, and sockets do not wait for each other', async () => {
  const [a, b] = [open(), open()]
  a.write('a1')
  b.write('b1')
  expect([a.socket.writes, b.socket.writes]).toEqual([['a1'], ['b1']])
  await nextTurn()
  a.write('a2')
  expect(a.socket.writes).toEqual(['a1', 'a2'])
})

test('a great deal goes out on the way', async () => {
  const { socket, write } = open()
  write('1')
  for (let n = 0; n < 10; n++) write('x'.repeat(20_000))
  expect(socket.writes).toEqual(['1', '80000 bytes', '80000 bytes'])
  await nextTurn()
  expect(socket.writes).toEqual(['1', '80000 bytes', '80000 bytes', '40000 bytes'])
  expect(socket.writableLength).toBe(0)
})

test('a socket that takes nothing more gets everything later, in order', async () => {
  const { socket, write } = open()
  socket.isSlow = true
  for (const text of ['1', '2', '3']) write(text)
  await nextTurn()
  write('4')
  write('5')
  await nextTurn()
  expect(socket.writes).toEqual(['1'])
  expect(socket.writableLength).toBe(5)
  socket.isSlow = false
  socket.full!()
  await nextTurn()
  expect(socket.writes).toEqual(['1', '2345'])
})

test('nothing is lost to an end that comes before the turn is over', async () => {
  const { socket, write } = open()
  for (const text of ['1', '2', '3']) write(text)
  socket.end('bye')
  await nextTurn()
  expect(socket.writes.join('')).toBe('123bye')
  write('late')
  expect(socket.writes.join('')).toBe('123bye')
})

test('large writes to many sockets are spread over turns, in order, and small ones are not held', async () => {
  const frame = Buffer.alloc(1024 * 1024, 'x')
  const sockets = Array.from({ length: 40 }, () => new Written({ writableHighWaterMark: 1 }))
  const writers = sockets.map((socket) => new SocketWriter(socket))
  const written = (): number => sockets.filter(({ writes }) => writes.length > 0).length
  for (const writer of writers) writer.write(frame)
  writers.at(-1)!.write(Buffer.from('after'))
  const small = open()
  small.write('small')
  expect(small.socket.writes).toEqual(['small'])
  expect(written()).toBe(2)
  expect(writers.at(-1)!.heldBytes).toBe(frame.length + 5)
  await nextTurn()
  expect(written()).toBeLessThan(40)
  for (let turns = 0; turns < 30; turns++) await nextTurn()
  expect(written()).toBe(40)
  expect(sockets.map(({ writes }) => writes.join())).toEqual([...Array.from({ length: 39 }, () => '1048576 bytes'), '1048581 bytes'])
  expect(writers.map(({ heldBytes }) => heldBytes)).toEqual(writers.map(() => 0))
})

test('no more large writes are held than fit in the bound, and an end sends what is held', async () => {
  const sockets = Array.from({ length: 100 }, () => new Written({ writableHighWaterMark: 1 }))
  const writers = sockets.map((socket) => new SocketWriter(socket))
  for (const writer of writers) writer.write(Buffer.alloc(1024 * 1024))
  const held = sockets.filter(({ writes }) => writes.length === 0)
  expect(held).toHaveLength(64)
  held[63]!.end('bye')
  await nextTurn()
  expect(held[63]!.writes.join()).toBe('1048579 bytes')
  for (let turns = 0; turns < 50; turns++) await nextTurn()
  expect(sockets.every(({ writes }) => writes.length === 1)).toBe(true)
})
