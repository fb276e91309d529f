import { RealtimeClient, RealtimeError, type RealtimeClientOptions, type UntypedDatabase } from '@tidewire/client'
import { createContext, createElement, useContext, useEffect, useMemo, type ReactElement, type ReactNode } from 'react'
import { RefCount } from './ref-count.ts'
import { useLatest } from './use-latest.ts'

/** A client of any database. */
type AnyClient = Pick<RealtimeClient, 'endPoint' | 'state' | 'onState' | 'connect' | 'disconnect' | 'removeAllChannels'>

/** Either a client of yours, which the provider leaves alone, or the arguments to make one, which ends with the provider. */
export type RealtimeProviderProps =
  | { readonly client: AnyClient; readonly children?: ReactNode }
  | {
      /** As for `new RealtimeClient`. Another URL or API key makes another client. */
      readonly url: string
      /** Read when the client is made; of `accessToken` always the last render's is called. */
      readonly options: RealtimeClientOptions
      readonly children?: ReactNode
    }

const ClientContext = createContext<RealtimeClient | null>(null)

/** Gives the components below one client. */
export function RealtimeProvider(props: RealtimeProviderProps): ReactElement {
  if (!('client' in props)) return createElement(OwnedClient, props)
  return createElement(ClientContext.Provider, { value: props.client as RealtimeClient }, props.children)
}

/** The client of the nearest provider. Throws a RealtimeError (`bad-argument`) when there is none. */
export function useRealtime<Database = UntypedDatabase>(): RealtimeClient<Database> {
  const client = useContext(ClientContext)
  if (client === null) throw new RealtimeError('bad-argument', 'There is no <RealtimeProvider> above this component.')
  return client as unknown as RealtimeClient<Database>
}

interface OwnedClientProps {
  readonly url: string
  readonly options: RealtimeClientOptions
  readonly children?: ReactNode
}

function OwnedClient({ url, options, children }: OwnedClientProps): ReactElement {
  const latest = useLatest(options)
  const apikey = options.apikey ?? (options.params?.['apikey'] as string | undefined)
  const hasToken = options.accessToken !== undefined
  const { client, refCount } = useMemo(() => {
    const token = hasToken ? { accessToken: async () => (await latest.current.accessToken?.()) ?? null } : {}
    const made = new RealtimeClient(url, { ...latest.current, ...(apikey === undefined ? {} : { apikey }), ...token })
    return { client: made, refCount: new RefCount(() => void made.removeAllChannels()) }
  }, [url, apikey, hasToken, latest])
  useEffect(() => refCount.hold(), [refCount])
  return createElement(ClientContext.Provider, { value: client }, children)
}
