import { expect, test } from 'vitest'
import { TopicList, topicKey } from './topic-list.ts'

const names = (list: TopicList): string[] => list.shown.value.map(topicKey)

test('lists topics by name; a public and a private one may share it', () => {
  const list = new TopicList()
  list.replace(
    [
      { topic: 'b', private: true, members: 1 },
      { topic: 'a', private: false, members: 2 },
      { topic: 'b', private: false, members: 3 },
    ],
    40,
  )
  expect(names(list)).toEqual(['public:a', 'public:b', 'private:b'])
  expect(list.total.value).toBe(43)
})

test('follows what changes; a topic without members is gone', () => {
  const list = new TopicList()
  list.replace([{ topic: 'a', private: false, members: 2 }], 0)
  list.change([
    { topic: 'a', private: false, members: 0 },
    { topic: 'a', private: true, members: 1 },
    { topic: 'unknown', private: true, members: 0 },
  ])
  expect(names(list)).toEqual(['private:a'])
  expect(list.get('private:a')).toEqual({ topic: 'a', private: true, members: 1 })
})

test('is filtered by any part of the name, whatever its case', () => {
  const list = new TopicList()
  list.replace(
    ['Room:1', 'lobby'].map((topic) => ({ topic, private: false, members: 1 })),
    0,
  )
  list.filter.value = ' room '
  expect(names(list)).toEqual(['public:Room:1'])
  list.change([{ topic: 'bathroom', private: false, members: 1 }])
  expect(names(list)).toEqual(['public:Room:1', 'public:bathroom'])
})
