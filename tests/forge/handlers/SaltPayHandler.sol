// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltPay} from "../../../contracts/interfaces/ISaltPay.sol";
import {BlacklistingToken} from "../mocks/BlacklistingToken.sol";
import {FalseReturnToken} from "../mocks/FalseReturnToken.sol";
import {FeeOnTransferToken} from "../mocks/FeeOnTransferToken.sol";
import {NoReturnToken} from "../mocks/NoReturnToken.sol";
import {PermitRefusingToken} from "../mocks/PermitRefusingToken.sol";
import {PlainToken} from "../mocks/PlainToken.sol";
import {QuietToken} from "../mocks/QuietToken.sol";
import {RebasingToken} from "../mocks/RebasingToken.sol";
import {ReentrantReceiver} from "../mocks/ReentrantReceiver.sol";
import {ReentrantToken} from "../mocks/ReentrantToken.sol";
import {RefusingReceiver} from "../mocks/RefusingReceiver.sol";
import {ReturnBombReceiver} from "../mocks/ReturnBombReceiver.sol";
import {RevertingToken} from "../mocks/RevertingToken.sol";
import {WalletReceiver} from "../mocks/WalletReceiver.sol";
import {Salt, newSalt} from "../support/Contracts.sol";
import {DepositSignatures} from "./DepositSignatures.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {CommonBase} from "forge-std/Base.sol";
import {StdUtils} from "forge-std/StdUtils.sol";
import {Vm} from "forge-std/Vm.sol";

/// @notice What some tokens' `approve` does not: it returns nothing.
interface IApproving {
    function approve(address spender, uint256 amount) external;
}

/// @notice Pays through SaltPay at random: any account to any other, in the native coin and in honest and hostile
/// tokens, with permits good and bad, also straight at the contract. It keeps what the events said, to be held against
/// the balances.
contract SaltPayHandler is CommonBase, StdUtils {
    using SafeCast for uint256;

    uint256 public constant FUNDS = 1_000_000 ether;

    /// @notice The tokens, as indices of `assets`, that the handler or its test treats apart.
    uint256 public constant REBASING = 3;
    uint256 public constant BLACKLISTING = 7;
    uint256 public constant SALT = 11;

    /// @notice How many accounts, the first ones, have a key and so can sign a permit.
    uint256 public constant KEYS = 3;

    /// @notice What becomes of a permit. There is no allowance beside it.
    enum Permit {
        Good,
        Overtaken,
        OfAnotherAmount,
        OfAnotherKey,
        Expired,
        UsedBefore
    }

    ISaltPay private immutable saltPay;
    Vm.Wallet[KEYS] private wallets;

    /// @notice All accounts that may hold anything, except SaltPay.
    address[] private accounts;

    /// @notice The native coin as the zero address, then the tokens.
    address[] private assets;

    /// @notice How many payments the events have told of.
    uint256 public payments;

    /// @notice How many refunds they have told of. The money goes from the first account to the second, as of a payment.
    uint256 public refunds;

    /// @notice What the events say that an account was paid, less what it paid.
    mapping(address asset => mapping(address account => int256 amount)) public net;

    /// @notice How many payments were made by each kind of permit.
    mapping(Permit kind => uint256 count) public paymentsBy;

    constructor(ISaltPay saltPay_) {
        saltPay = saltPay_;

        wallets[0] = vm.createWallet("first");
        wallets[1] = vm.createWallet("second");
        wallets[2] = vm.createWallet("collector");
        address collector = wallets[2].addr;
        for (uint256 i = 0; i < KEYS; ++i) {
            accounts.push(wallets[i].addr);
        }
        accounts.push(address(new WalletReceiver()));
        accounts.push(address(new RefusingReceiver()));
        accounts.push(address(new ReturnBombReceiver(false)));
        accounts.push(address(new ReturnBombReceiver(true)));
        accounts.push(address(new ReentrantReceiver(saltPay_, keccak256("passed on"), collector)));

        assets.push(address(0));
        assets.push(address(new PlainToken()));
        assets.push(address(new FeeOnTransferToken()));
        assets.push(address(new RebasingToken()));
        assets.push(address(new QuietToken()));
        assets.push(address(new FalseReturnToken()));
        assets.push(address(new ReentrantToken(saltPay_, keccak256("counted twice"))));
        // What the reentrant token pays with when it pays again.
        accounts.push(assets[assets.length - 1]);
        assets.push(address(new BlacklistingToken()));
        assets.push(address(new RevertingToken()));
        assets.push(address(new NoReturnToken()));
        assets.push(address(new PermitRefusingToken()));
        // The one that takes permits.
        assets.push(address(newSalt(address(this), accounts.length * FUNDS)));

        for (uint256 i = 0; i < accounts.length; ++i) {
            vm.deal(accounts[i], FUNDS);
            for (uint256 j = 1; j < assets.length; ++j) {
                if (j == SALT) require(Salt(assets[j]).transfer(accounts[i], FUNDS));
                else PlainToken(assets[j]).mint(accounts[i], FUNDS);
                approve(accounts[i], assets[j], type(uint256).max);
            }
        }
    }

    function pay(uint256 from, uint256 to, bytes32 paymentReference, uint256 amount) external {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        amount = bound(amount, 0, payer.balance);

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.pay{value: amount}(paymentReference, payee) {
            readPayments();
        } catch {}
    }

    /// @dev In time or too late, by a second.
    function payOnTime(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount, bool late)
        external
    {
        address payer = accountOf(from);
        address asset = assets[bound(which, 0, assets.length - 1)];
        amount = bound(amount, 0, FUNDS);
        uint256 until = (vm.getBlockTimestamp() - (late ? 1 : 0)) << 160 | uint160(accountOf(to));
        if (asset == address(0) && amount > payer.balance) return;

        vm.recordLogs();
        vm.prank(payer);
        (bool paid,) = address(saltPay).call{value: asset == address(0) ? amount : 0}(
            asset == address(0)
                ? abi.encodeCall(saltPay.payOnTime, (paymentReference, until))
                : abi.encodeCall(saltPay.payTokenOnTime, (asset, amount, until, paymentReference))
        );
        require(!paid || !late, "a payment came too late");
        if (paid) readPayments();
    }

    function refund(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount) external {
        (address payee, address payer) = (accountOf(from), accountOf(to));
        address asset = assets[bound(which, 0, assets.length - 1)];
        amount = bound(amount, 0, FUNDS);
        if (asset == address(0) && amount > payee.balance) return;

        vm.recordLogs();
        vm.prank(payee);
        (bool paid,) = address(saltPay).call{value: asset == address(0) ? amount : 0}(
            asset == address(0)
                ? abi.encodeCall(saltPay.refund, (paymentReference, payer))
                : abi.encodeCall(saltPay.refundToken, (paymentReference, payer, asset, amount))
        );
        if (paid) readPayments();
    }

    function payToken(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount, int256 rebase)
        external
    {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        address asset = assets[bound(which, 1, assets.length - 1)];
        amount = bound(amount, 0, 2 * FUNDS);
        if (asset == assets[REBASING]) RebasingToken(asset).setRebase(bound(rebase, -1, 1));

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payToken(paymentReference, payee, asset, amount) {
            readPayments();
        } catch {}
    }

    /// @dev Nobody signed: it is the allowance that pays, whether the token knows permits, refuses them, or neither.
    function payWithPermit(uint256 from, uint256 to, uint256 which, bytes32 paymentReference, uint256 amount) external {
        (address payer, address payee) = (accountOf(from), accountOf(to));
        address asset = assets[bound(which, 1, assets.length - 1)];
        amount = bound(amount, 0, 2 * FUNDS);

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payWithPermit(paymentReference, payee, asset, amount, vm.getBlockTimestamp(), 27, 0, 0) {
            readPayments();
        } catch {}
    }

    /// @dev The permit alone can pay, so whether it does is known beforehand.
    function payBySignature(uint256 from, uint256 to, bytes32 paymentReference, uint256 amount, uint256 kind) external {
        Vm.Wallet memory payer = wallets[bound(from, 0, KEYS - 1)];
        address payee = accountOf(to);
        Salt token = Salt(assets[SALT]);
        amount = bound(amount, 0, token.balanceOf(payer.addr) + 1);
        Permit permit = Permit(bound(kind, 0, uint256(type(Permit).max)));
        bytes memory call = signed(payer, payee, paymentReference, amount, permit);
        bool payable_ = paymentReference != 0 && payee != payer.addr && amount != 0
            && amount <= token.balanceOf(payer.addr) && (permit == Permit.Good || permit == Permit.Overtaken);

        vm.recordLogs();
        vm.prank(payer.addr);
        (bool paid,) = address(saltPay).call(call);
        require(paid == payable_, paid ? "a bad permit paid" : "a good permit did not pay");
        if (paid) {
            ++paymentsBy[permit];
            readPayments();
            require(token.allowance(payer.addr, address(saltPay)) == 0, "a permit left an allowance");
        }
        approve(payer.addr, address(token), type(uint256).max);
    }

    /// @dev From now on, or no longer.
    function blacklist(uint256 who, bool listed) external {
        BlacklistingToken(assets[BLACKLISTING]).setBlacklisted(accountOf(who), listed);
    }

    /// @dev Up to four orders, mixed, mostly with the right value.
    function payMany(uint256 from, uint256[4] calldata seeds, uint256 count, uint256 error) external {
        address payer = accountOf(from);
        ISaltPay.Order[] memory orders = new ISaltPay.Order[](bound(count, 0, 4));
        uint256 value = error % 8 == 0 ? error % 3 : 0;
        for (uint256 i = 0; i < orders.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seeds[i])));
            orders[i] = ISaltPay.Order({
                paymentReference: bytes32(random),
                payee: accounts[random % accounts.length],
                asset: (random >> 16) % 2 == 0 ? address(0) : assets[(random >> 32) % assets.length],
                amount: (random >> 64) % (FUNDS / 1_000)
            });
            if (orders[i].asset == address(0)) value += orders[i].amount;
        }
        if (value > payer.balance) return;

        vm.recordLogs();
        vm.prank(payer);
        try saltPay.payMany{value: value}(orders) {
            readPayments();
        } catch {}
    }

    /// @dev Coins and calls that SaltPay has no function for.
    function intrude(uint256 from, bytes calldata data, uint256 amount) external {
        if (isFunction(data)) return;
        address payer = accountOf(from);
        amount = bound(amount, 0, payer.balance);

        vm.prank(payer);
        (bool accepted,) = address(saltPay).call{value: amount}(data);
        require(!accepted, "SaltPay accepted what is no payment");
    }

    function allAccounts() external view returns (address[] memory) {
        return accounts;
    }

    function allAssets() external view returns (address[] memory) {
        return assets;
    }

    /// @dev The payment with a permit of some kind, and no allowance beside it.
    function signed(Vm.Wallet memory payer, address payee, bytes32 paymentReference, uint256 amount, Permit kind)
        private
        returns (bytes memory)
    {
        Salt token = Salt(assets[SALT]);
        approve(payer.addr, address(token), 0);
        uint256 deadline = kind == Permit.Expired ? vm.getBlockTimestamp() - 1 : vm.getBlockTimestamp();
        bytes32 digest = DepositSignatures.permitDigest(
            token, payer.addr, address(saltPay), kind == Permit.OfAnotherAmount ? amount + 1 : amount, deadline
        );
        uint256 key = kind == Permit.OfAnotherKey ? uint256(keccak256("nobody's")) : payer.privateKey;
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        // Whoever sees the permit can submit it. One whose allowance is gone again is of no more use.
        if (kind == Permit.Overtaken || kind == Permit.UsedBefore) {
            token.permit(payer.addr, address(saltPay), amount, deadline, v, r, s);
        }
        if (kind == Permit.UsedBefore) approve(payer.addr, address(token), 0);
        return
            abi.encodeCall(saltPay.payWithPermit, (paymentReference, payee, address(token), amount, deadline, v, r, s));
    }

    function approve(address owner, address asset, uint256 amount) private {
        vm.prank(owner);
        IApproving(asset).approve(address(saltPay), amount);
    }

    function isFunction(bytes calldata data) private pure returns (bool) {
        if (data.length < 4) return false;
        // forge-lint: disable-next-item(unsafe-typecast)
        bytes4 selector = bytes4(data);
        return selector == ISaltPay.pay.selector || selector == ISaltPay.payToken.selector
            || selector == ISaltPay.payWithPermit.selector || selector == ISaltPay.payMany.selector
            || selector == ISaltPay.payOnTime.selector || selector == ISaltPay.payTokenOnTime.selector
            || selector == ISaltPay.payManyOnTime.selector || selector == ISaltPay.refund.selector
            || selector == ISaltPay.refundToken.selector;
    }

    /// @dev Called after what succeeded alone: the logs of what was reverted are recorded too.
    function readPayments() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].emitter != address(saltPay)) continue;
            (address asset, uint256 amount) = abi.decode(logs[i].data, (address, uint256));
            address payer = address(uint160(uint256(logs[i].topics[2])));
            address payee = address(uint160(uint256(logs[i].topics[3])));
            if (asset == assets[BLACKLISTING]) requireUnlisted(payer, payee);
            net[asset][payer] -= amount.toInt256();
            net[asset][payee] += amount.toInt256();
            if (logs[i].topics[0] == ISaltPay.Refund.selector) ++refunds;
            else ++payments;
        }
    }

    function requireUnlisted(address payer, address payee) private view {
        BlacklistingToken token = BlacklistingToken(assets[BLACKLISTING]);
        require(
            !token.blacklisted(payer) && !token.blacklisted(payee), "an account paid or was paid that is blacklisted"
        );
    }

    function accountOf(uint256 index) private view returns (address) {
        return accounts[bound(index, 0, accounts.length - 1)];
    }
}
