from django.db import migrations, models


def partition(apps, schema_editor):
    """On PostgreSQL reports go into a partition a month, with the rows there are. SQLite's table stays as it is."""
    if schema_editor.connection.vendor != "postgresql":
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT relkind FROM pg_class WHERE oid = 'store_report'::regclass")
        if cursor.fetchone()[0] == "p":
            return  # gone back to 0002 and forth again, which leaves the table as it is
        # After the foreign keys' checks, which are deferred, since a table with checks to come cannot be altered.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("LOCK TABLE store_device, store_report IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = 'store_report'::regclass AND contype IN ('u', 'f') ORDER BY contype"
        )
        constraints = cursor.fetchall()
        cursor.execute("SELECT pg_get_serial_sequence('store_report', 'id')")
        sequence = cursor.fetchone()[0]
        for name, _ in [("store_report_pkey", ""), *constraints]:
            cursor.execute(f'ALTER TABLE store_report DROP CONSTRAINT "{name}"')
        cursor.execute("ALTER TABLE store_report RENAME TO store_report_unpartitioned")
        cursor.execute(f"ALTER SEQUENCE {sequence} RENAME TO store_report_unpartitioned_id_seq")
        cursor.execute(
            "CREATE TABLE store_report (LIKE store_report_unpartitioned INCLUDING ALL EXCLUDING INDEXES) PARTITION BY RANGE (time)"
        )
        cursor.execute("CREATE TABLE store_report_default PARTITION OF store_report DEFAULT")
        for month, next_month in _months(cursor):
            cursor.execute(
                f"CREATE TABLE store_report_{month:%Y_%m} PARTITION OF store_report "
                f"FOR VALUES FROM ('{month:%Y-%m-%d}T00:00:00+00:00') TO ('{next_month:%Y-%m-%d}T00:00:00+00:00')"
            )
        # Before its indexes and checks, which are made for all rows at once much sooner than for each.
        cursor.execute("INSERT INTO store_report OVERRIDING SYSTEM VALUE SELECT * FROM store_report_unpartitioned")
        cursor.execute("ALTER TABLE store_report ADD CONSTRAINT store_report_pkey PRIMARY KEY (id, time)")
        for name, definition in constraints:
            cursor.execute(f'ALTER TABLE store_report ADD CONSTRAINT "{name}" {definition}')
        cursor.execute(
            "SELECT setval(pg_get_serial_sequence('store_report', 'id'), last_value, is_called) "
            "FROM store_report_unpartitioned_id_seq"
        )
        cursor.execute("DROP TABLE store_report_unpartitioned")


def _months(cursor):
    """The months in which something was received that was dated so: of clocks that are off there may be any number."""
    cursor.execute(
        """
        SELECT DISTINCT month, month + interval '1 month'
        FROM store_report_unpartitioned, date_trunc('month', time AT TIME ZONE 'UTC') AS month
        WHERE month = date_trunc('month', received_at AT TIME ZONE 'UTC')
        ORDER BY month DESC LIMIT 120
        """
    )
    return cursor.fetchall()


class Migration(migrations.Migration):

    dependencies = [
        ('store', '0002_credential'),
    ]

    operations = [
        migrations.AddField(
            model_name='quarantine',
            name='version',
            field=models.CharField(blank=True, db_default='', default='', max_length=64),
        ),
        # Back: an older release takes a table in partitions for what it was.
        migrations.RunPython(partition, migrations.RunPython.noop, elidable=False),
    ]
