import { isIP } from 'node:net'

/** Whether a request with this `Host` is meant for this server. */
export type HostCheck = (host: string | undefined) => boolean

/**
 * A page on the web can have its own name resolve to 127.0.0.1 and then talk to servers on this machine; its requests
 * still carry that name. So only names that lead here by themselves are taken. A server that listens on every address is
 * also called by its numbers, which no web page can pretend to have.
 */
export function hostCheck(boundHost: string): HostCheck {
  const bound = bare(boundHost.toLowerCase())
  const everywhere = bound === '0.0.0.0' || bound === '::'
  return (host) => {
    const name = hostname(host)
    if (name === null) return false
    return isLoopback(name) || name === bound || (everywhere && isIP(name) !== 0)
  }
}

/** Whether a page of this origin (`http://localhost:5173`) was served by this machine, to itself. */
export function isLoopbackOrigin(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(bare(new URL(origin).hostname))
}

/** `http://…` with which this machine reaches a server that listens there. */
export function localUrl(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

/** Whether only this machine can reach a listener at this address. */
export function isLoopback(name: string): boolean {
  return name === 'localhost' || name === '127.0.0.1' || name === '::1'
}

function hostname(host: string | undefined): string | null {
  const url = `http://${host ?? ''}`
  // A Host has a name and a port, and nothing else.
  if (host === undefined || !/^[\w.:[\]-]+$/.test(host) || !URL.canParse(url)) return null
  return bare(new URL(url).hostname)
}

function bare(name: string): string {
  return name.replace(/^\[(.*)\]$/, '$1')
}
