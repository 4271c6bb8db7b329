import fc from 'fast-check'
import { expect, test } from 'vitest'
import { L5D_CLIENT_ID, readPeerHeader, XFCC } from './peer-header.ts'

const idOf = (text: string, header = XFCC): string | null => readPeerHeader(header, text).identity?.id ?? null

test.each([
  ['By=spiffe://td/ns/gw/sa/gw;Hash=ab;Subject="";URI=spiffe://td/ns/a/sa/chat', 'spiffe://td/ns/a/sa/chat'],
  ['URI=spiffe://td/ns/a/sa/root,By=x;URI=spiffe://td/ns/a/sa/chat', 'spiffe://td/ns/a/sa/chat'],
  ['URI=spiffe://td/ns/a/sa/root\nBy=x;URI=spiffe://td/ns/a/sa/chat', 'spiffe://td/ns/a/sa/chat'],
  [String.raw`Subject="CN=chat,O=a\\, b";URI=spiffe://td/ns/a/sa/chat`, 'spiffe://td/ns/a/sa/chat'],
  [String.raw`Hash=1;Subject="CN=\",URI=spiffe://td/ns/a/sa/root";URI=spiffe://td/x`, 'spiffe://td/x'],
  ['hash=1;uri="spiffe://td/x"', 'spiffe://td/x'],
  ['URI=https://a.example;URI=spiffe://td/y', 'spiffe://td/y'],
  ['Hash=1;DNS=a.example;DNS=b.example', 'a.example'],
  ['URI=;DNS=a.example', 'a.example'],
])('XFCC %s', (text, expected) => {
  expect(idOf(text)).toBe(expected)
})

test.each([
  ['URI=spiffe://td/x;URI=spiffe://td/y', 'two SPIFFE ids'],
  ['URI=SPIFFE://td/x', 'not valid'],
  ['URI=spiffe://td/a/../b', 'not valid'],
  ['URI=spiffe://td/x,Hash=1', 'neither'],
  ['Subject="open;URI=spiffe://td/x', 'not of the form'],
  ['Subject=a"b";URI=spiffe://td/x', 'not of the form'],
  ['Subject="a"b;URI=spiffe://td/x', 'not of the form'],
  ['nonsense', 'not of the form'],
  ['URI=spiffe://td/x,', 'not of the form'],
  [',URI=spiffe://td/x', 'not of the form'],
  ['URI=spiffe://td/x;', 'not of the form'],
  // One line cannot open a quote that another one closes.
  ['Subject="a\nb";URI=spiffe://td/x', 'not of the form'],
  ['', 'empty'],
])('XFCC %s names nobody', (text, fault) => {
  const said = readPeerHeader(XFCC, text)
  expect(said.identity).toBeNull()
  expect(said.fault).toContain(fault)
})

test('who wrote the last element is told, and nobody else', () => {
  expect(readPeerHeader(XFCC, 'By=spiffe://a;URI=spiffe://x,By=spiffe://b;By=spiffe://c;URI=spiffe://x').by).toEqual([
    'spiffe://b',
    'spiffe://c',
  ])
  expect(readPeerHeader(XFCC, 'By=spiffe://a;URI=spiffe://x,URI=spiffe://x').by).toEqual([])
})

test('Linkerd and plain headers', () => {
  expect(readPeerHeader(L5D_CLIENT_ID, 'api.search.serviceaccount.identity.linkerd.cluster.local').identity).toEqual({
    source: 'header',
    id: 'api.search.serviceaccount.identity.linkerd.cluster.local',
    namespace: 'search',
    serviceAccount: 'api',
    trustDomain: 'linkerd.cluster.local',
  })
  expect(idOf('someone', L5D_CLIENT_ID)).toBeNull()
  expect(idOf('spiffe://td/ns/a/sa/b', L5D_CLIENT_ID)).toBe('spiffe://td/ns/a/sa/b')
  expect(idOf('a.b.serviceaccount.identity.td\nc.d.serviceaccount.identity.td', L5D_CLIENT_ID)).toBeNull()
  expect(idOf(' batch-7 ', 'x-caller')).toBe('batch-7')
  expect(readPeerHeader('x-caller', 'spiffe://td/ns/a/sa/b').identity?.namespace).toBe('a')
  expect(idOf('two words', 'x-caller')).toBeNull()
  expect(idOf('one\ntwo', 'x-caller')).toBeNull()
})

test('any text is read or refused, never thrown over', () => {
  const pieces = fc.array(
    fc.constantFrom('URI', '=', '"', '\\', ',', ';', ':', ', ', 'spiffe://td/a', 'DNS', '\n', 'x'),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        pieces.map((parts) => parts.join('')),
        fc.string({ unit: 'binary' }),
      ),
      (text) => {
        for (const header of [XFCC, L5D_CLIENT_ID, 'x-any']) {
          const { identity, fault } = readPeerHeader(header, text)
          expect(identity === null).toBe(fault !== '')
        }
      },
    ),
  )
})
