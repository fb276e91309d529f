/**
 * How SQL sends: `realtime.send`, `realtime.send_binary`, the trigger helper `realtime.broadcast_changes`, and
 * `realtime.topic()` for policies. A send that fails is a warning, never a failed transaction of the user.
 */
export const functions: string = `
do $migration$
begin
  if to_regprocedure('realtime.topic()') is null then
    create function realtime.topic() returns text language sql stable as $body$
      select nullif(current_setting('realtime.topic', true), '')
    $body$;
  end if;
  if to_regprocedure('realtime.send(jsonb, text, text, boolean)') is null then
    create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
    language plpgsql as $body$
    declare
      message_id uuid := gen_random_uuid();
    begin
      perform set_config('realtime.topic', topic, true);
      insert into realtime.messages (id, payload, event, topic, private, extension)
      values (
        message_id,
        case when jsonb_typeof(payload) = 'object' and not payload ? 'id' then payload || jsonb_build_object('id', message_id) else payload end,
        event, topic, private, 'broadcast'
      );
    exception when others then
      raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end $body$;
  end if;
  if to_regprocedure('realtime.send_binary(bytea, text, text, boolean)') is null then
    create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true) returns void
    language plpgsql as $body$
    begin
      perform set_config('realtime.topic', topic, true);
      insert into realtime.messages (binary_payload, event, topic, private, extension)
      values (payload, event, topic, private, 'broadcast');
    exception when others then
      raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end $body$;
  end if;
  if to_regprocedure('realtime.broadcast_changes(text, text, text, text, text, record, record, text)') is null then
    create function realtime.broadcast_changes(
      topic_name text, event_name text, operation text, table_name text, table_schema text, new record, old record, level text default 'ROW'
    ) returns void language plpgsql as $body$
    begin
      if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
      end if;
      if operation not in ('INSERT', 'UPDATE', 'DELETE') then
        raise exception 'Unexpected operation type: %', operation;
      end if;
      perform realtime.send(
        jsonb_build_object(
          'old_record', case when operation = 'INSERT' then null else to_jsonb(old) end,
          'record', case when operation = 'DELETE' then null else to_jsonb(new) end,
          'operation', operation, 'table', table_name, 'schema', table_schema
        ),
        event_name, topic_name
      );
    exception when others then
      raise exception 'Failed to process the row: %', sqlerrm;
    end $body$;
  end if;
end $migration$;
`
