# Lets one application open these mailboxes of Exchange Online, and no others.
# Written by `gatepost setup microsoft365`. There is no secret in it.
#
# Paste it into PowerShell, on any system, as an Exchange administrator, or run the file. Once before:
#     Install-Module ExchangeOnlineManagement -Scope CurrentUser
# It may be run again: what is as it should be stays so.
& {
    $ErrorActionPreference = 'Stop'

    # The organisation, and the application as App registrations > Overview shows it.
    $Tenant = '99999999-8888-7777-6666-555555555555'
    $AppId = '11111111-2222-3333-4444-555555555555'

    # The object ID of the ENTERPRISE APPLICATION: Enterprise applications > All applications > the
    # application > Overview. App registrations shows another one, which looks just like it and with
    # which Exchange refuses every login. Empty: you are asked for it.
    $ObjectId = ''

    # What is switched on for each mailbox.
    $Switches = @{
        SmtpClientAuthenticationDisabled = $false
    }

    $Mailboxes = @(
    )

    Connect-ExchangeOnline -Organization $Tenant -ShowBanner:$false

    # All mailboxes of the domain that there are today, shared ones too; run this again for new ones.
    $Domain = '@contoso.example'
    $Mailboxes += @(
        Get-Mailbox -ResultSize Unlimited -RecipientTypeDetails @('UserMailbox', 'SharedMailbox') |
            ForEach-Object { "$($_.PrimarySmtpAddress)" } |
            Where-Object { $_.ToLowerInvariant().EndsWith($Domain) }
    )
    $Mailboxes = @($Mailboxes | Sort-Object -Unique)

    # Exchange keeps a list of its own of the applications that can be given mailboxes.
    $Application = Get-ServicePrincipal | Where-Object { $_.AppId -eq $AppId }
    if ($Application) {
        if ($ObjectId -and "$($Application.ObjectId)" -ne $ObjectId) {
            throw "Exchange knows this application by the object ID $($Application.ObjectId), not " +
                "$ObjectId. Look up the right one under Enterprise applications. If Exchange has the " +
                "wrong one: Remove-ServicePrincipal -Identity $($Application.ObjectId), and run this again."
        }
    } else {
        if (-not $ObjectId) {
            $ObjectId = Read-Host 'Object ID of the enterprise application (not of the app registration)'
        }
        $Application = New-ServicePrincipal -AppId $AppId -ObjectId $ObjectId -DisplayName 'Gatepost'
    }

    $Failed = @()
    foreach ($Mailbox in $Mailboxes) {
        Write-Host "Setting $Mailbox"
        try {
            # Full access is needed for SMTP too: without it Exchange takes the login and then not the
            # message. Where it is there already, Exchange adds no second one and only warns.
            # AutoMapping would show the mailbox in somebody's Outlook.
            $Permission = @{
                Identity      = $Mailbox
                User          = $Application.Identity
                AccessRights  = 'FullAccess'
                AutoMapping   = $false
                WarningAction = 'SilentlyContinue'
            }
            Add-MailboxPermission @Permission | Out-Null
            # A mailbox's own switch for SMTP counts more than the organisation's.
            Set-CASMailbox -Identity $Mailbox @Switches -WarningAction SilentlyContinue
        } catch {
            $Failed += $Mailbox
            Write-Warning "${Mailbox}: $($_.Exception.Message)"
        }
    }

    # What is set now. FullAccess names the application in Exchange's own way.
    $Mailboxes | Where-Object { $Failed -notcontains $_ } | ForEach-Object {
        $Mailbox = $_
        $Access = Get-CASMailbox -Identity $Mailbox
        $Owners = Get-MailboxPermission -Identity $Mailbox |
            Where-Object { "$($_.AccessRights)" -like '*FullAccess*' -and -not $_.IsInherited }
        [pscustomobject]@{
            Mailbox    = $Mailbox
            FullAccess = ($Owners | ForEach-Object { "$($_.User)" }) -join ', '
            SMTP       = $Access.SmtpClientAuthenticationDisabled -eq $false
            POP3       = $Access.PopEnabled
            IMAP       = $Access.ImapEnabled
        }
    } | Format-Table -AutoSize -Wrap | Out-Host

    Disconnect-ExchangeOnline -Confirm:$false
    if ($Failed) {
        throw "Not done for $($Failed.Count) of $(@($Mailboxes).Count): $($Failed -join ', '). " +
            'A new application is not known everywhere at once: run this again in a few minutes.'
    }
    Write-Host 'Done. It may take half an hour until Exchange lets the application in.'
}
